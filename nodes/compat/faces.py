"""Faces in pictures, as nodes of other packs find, choose and cut them out.

Letters: B pictures, S the side of a crop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ...faces import Face, FaceAnalyser, choose
from ...ip_adapter import IPAdapter
from .. import input_checks
from ..encoding.faces.face_finder import as_finder
from ..encoding.faces.faces_in_pictures import Looked, aligned_faces, without_face
from ..loading.face_analyser import AUTO, CPU, load_face_analyser
from .formulas.pictures import checked, eight_bits

PACKS = ("buffalo_l", "antelopev2")
SIZES = tuple(range(640, 256, -64))  # sides of the squares in which faces are looked for, until there is one
MORE_SIZES = tuple(range(640, 128, -64))


def load_faces(provider: Any, pack: Any, providers: Sequence[str]) -> FaceAnalyser:
    """The face analyser of a pack of models.

    providers: what may be asked for; all but "CPU" stand for the best that is installed

    Raises:
        ValueError: onnxruntime or the models are missing. The message says what to get.
    """
    input_checks.choice(provider, providers, "provider")
    input_checks.choice(pack, PACKS, "model_name")
    return load_face_analyser(pack, CPU if provider == CPU else AUTO)


def first(faces: list[Face]) -> list[Face]:
    """The face of the highest score."""
    return faces[:1]


def largest(faces: list[Face]) -> list[Face]:
    """The face whose box is the largest."""
    return choose(faces, "largest")


@dataclass(frozen=True, eq=False)
class Faces:
    """How a node looks for faces, and what it has found.

    finder: what finds them, as a wire carries it
    sizes: sides of the squares in which a picture is looked through, until there is a face
    choose: which of the faces in a picture counts, given all of them, that of the highest score first
    side: S; 0: as `crop_side` says
    found: the faces that were looked for, (1, S, S, 3) in 0..1 each
    """

    finder: Any = None
    sizes: Sequence[int] = SIZES
    choose: Callable[[list[Face]], list[Face]] = first
    side: int = 0
    found: list[torch.Tensor] = field(default_factory=list[torch.Tensor])

    @property
    def pictures(self) -> torch.Tensor | None:
        """The faces that were looked for, as one batch; None if none were."""
        return torch.cat(self.found) if self.found else None

    def look(self, image: Any, name: str) -> list[Looked]:
        """Look through pictures (B, H, W, C). Where there is no face, none is chosen.

        name: of the input, for messages
        """
        finder = as_finder(self.finder)
        pictures = [np.asarray(each) for each in eight_bits(checked(input_checks.image(image, name), name))]
        found = [finder.find(each, self.sizes) for each in pictures]
        return [Looked(each, faces, self.choose(faces), None) for each, faces in zip(pictures, found, strict=True)]

    def look_for_all(self, image: Any, name: str) -> list[Looked]:
        """The same. ValueError: there is no face in one of the pictures."""
        looked = self.look(image, name)
        if missing := [number for number, each in enumerate(looked, 1) if not each.chosen]:
            where = f"picture{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))} of {len(looked)} in "
            raise ValueError(self.without_face(f"{where if len(looked) > 1 else ''}the {name}"))
        return looked

    def crops(self, looked: Sequence[Looked], adapter: IPAdapter) -> torch.Tensor:
        """The faces that count, upright and in the middle of a square, (B, S, S, 3); they are remembered."""
        crops = aligned_faces(looked, self.side or crop_side(adapter))
        self.found.extend(crops.split(1))
        return crops

    def without_face(self, where: str) -> str:
        """What to say if there is no face somewhere."""
        return without_face(where, self.sizes)


def crop_side(adapter: IPAdapter) -> int:
    """The side of the crops that IPAdapter_plus makes for an adapter."""
    return 336 if adapter.family.through_model else 224 if adapter.base_model == "SD1.5" else 256


def finder_for(value: Any, title: str) -> Any:
    """What finds faces, for an adapter that reads them. ValueError: nothing is connected. title: of the node"""
    if value is None:
        raise ValueError(
            f"{title} has an adapter that reads faces, and nothing that finds them: use IPAdapter Unified Loader "
            "FaceID, or connect IPAdapter InsightFace Loader to IPAdapter FaceID."
        )
    return checked_finder(value, "insightface", "IPAdapter InsightFace Loader")


def checked_finder(value: Any, name: str, loader: str) -> Any:
    """What finds faces, as a wire carries it. ValueError: it carries none. loader: what people call the node for it"""
    try:
        as_finder(value)
    except ValueError:
        advice = f"connect the output of {loader}"
        raise ValueError(f"The {name} is {input_checks.described(value)}: {advice}.") from None
    return value
