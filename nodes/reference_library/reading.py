"""The pictures that were found, and their features: read one after the other, so that no more stays in memory than goes
on. Letters: H, W sides of all pictures of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import torch

from ...clip_vision import Crop, load_features
from ...clip_vision.pictures.images import to_rgb
from ...clip_vision.pictures.preprocessing import BLACK
from ...references.search import Searchable
from ...references.search.finding import Found, names_of, pictures_of
from ...tensor_files import printable, without_folders
from ..activity import count
from ..encoding.encode import encode_for
from ..encoding.encoder import Encoder
from ..encoding.features import ImageFeatures, join
from ..encoding.saving.saved_features import image_features
from ..encoding.squares import squares
from .letterbox import canvas_of, letterboxed

WITHOUT_PICTURE = (64, 64)  # of a file of features that keeps no picture, in pixels


@dataclass
class Read:
    """A picture of the library: its name there, its cosine, and it itself as (1, H, W, 3) in 0..1.

    features: None if it is a picture, and no encoder was given
    """

    id: int
    name: str
    score: float
    image: torch.Tensor
    features: ImageFeatures | None


def read_pictures(
    library: Searchable, hits: Found, encoder: Encoder | None, adapter: Any, crop: Crop, longest: int
) -> tuple[list[Read], list[str]]:
    """What was found, with features where an encoder is given or the library holds them; and what could not be read.

    longest: side of the pictures in pixels, at most; they are as large as the nearest

    Raises:
        ValueError: nothing could be read, or the adapter reads other features.
    """
    bar = comfy.utils.ProgressBar(len(hits))
    found, seen, problems = list[Read](), list[torch.Tensor | None](), list[str]()
    canvas: tuple[int, int] | None = None
    pictures = pictures_of(library, [id for id, _ in hits])
    for picture, name, (id, score) in zip(pictures, names_of(library, pictures), hits, strict=True):
        comfy.model_management.throw_exception_if_processing_interrupted()
        try:
            path = library.path_of(picture)
            features = _saved(path, picture.path) if picture.kind == "features" else None
            pixels = _thumbnail(features) if features else to_rgb(path, BLACK)[0]
        except (OSError, ValueError) as error:
            problems.append(f"{printable(name)}: {printable(without_folders(str(error)), 200)}")
            continue
        canvas = canvas or canvas_of(pixels, longest)
        found.append(Read(id, name, score, letterboxed(pixels, canvas), features and features[0]))
        seen.append(squares(encoder, pixels, crop, "black") if encoder and not features else None)
        bar.update(1)
    if not found:
        raise ValueError(
            f"None of the {len(hits)} pictures that the library {library.name} found could be read: "
            f"{'; '.join(problems[:3])}. Put its pictures back to where they were, or run `embed` again."
        )
    if encoder is not None and any(square is not None for square in seen):
        _encode(found, seen, encoder, adapter)
    count("pictures", len(found))
    return found, problems


def features_of(pictures: Sequence[Read]) -> ImageFeatures | None:
    """The features of all pictures in their order; None if some have none."""
    features = list(dict.fromkeys(each.features for each in pictures))
    if None in features:
        return None
    return features[0] if len(features) == 1 else join([each for each in features if each], "concat", "row by row")


def _encode(found: Sequence[Read], seen: Sequence[torch.Tensor | None], encoder: Encoder, adapter: Any) -> None:
    """Encode pictures, which are one batch with one value of features unless saved features lie between them."""
    if all(square is not None for square in seen):
        whole = encode_for(encoder, torch.cat([square for square in seen if square is not None]), adapter)
        for each in found:
            each.features = whole
        return
    for each, square in zip(found, seen, strict=True):
        if square is not None:
            each.features = encode_for(encoder, square, adapter)


def _saved(path: Path, name: str) -> tuple[ImageFeatures, torch.Tensor | None]:
    saved = load_features(path, name=name)
    return image_features(saved, name), saved.picture()


def _thumbnail(saved: tuple[ImageFeatures, torch.Tensor | None]) -> torch.Tensor:
    picture = saved[1]
    return torch.zeros(1, 3, *WITHOUT_PICTURE, dtype=torch.uint8) if picture is None else to_rgb(picture, BLACK)[0]
