"""Find and recognise faces with the networks of a face pack: a folder of ONNX files such as buffalo_l."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .detection import SIZES, Detector
from .face import Array, Face
from .recognition import Recogniser
from .sessions import CPU, Network, Role, open_network

KNOWN = {  # files of the published packs that are neither: they are not opened
    "1k3d68.onnx",
    "2d106det.onnx",
    "genderage.onnx",
}


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face under the names that packs for insightface read."""

    bbox: Array
    kps: Array
    det_score: float
    embedding: Array
    normed_embedding: Array


@dataclass
class DetectionSize:
    """The square in which `FaceAnalyser.get` looks, which packs for insightface set."""

    input_size: tuple[int, int] = (640, 640)


class FaceAnalyser:
    """The networks of a face pack. `load` opens them.

    name: of the pack, "buffalo_l"
    providers: on what onnxruntime runs them
    det_model: as other packs know it, see `get`
    """

    def __init__(self, name: str, detector: Detector, recogniser: Recogniser, providers: Sequence[str] = (CPU,)):
        self.name = name
        self.detector = detector
        self.recogniser = recogniser
        self.providers = tuple(providers)
        self.det_model = DetectionSize()

    @classmethod
    def load(cls, folder: str | os.PathLike[str], providers: Sequence[str] = (CPU,), name: str = "") -> FaceAnalyser:
        """Open the networks in a folder, or in a folder of the same name in it, as the zip of antelopev2 unpacks.

        providers: on what onnxruntime runs them, as `available_providers` lists it, the first that can
        name: of the pack, by default that of the folder

        Raises:
            ValueError: onnxruntime is not installed; or there is no network that finds faces, or none that recognises
                them; or a file is damaged. The message says which and what to do.
        """
        place = Path(folder)
        name = name or place.name
        networks = _networks(_files(place, name), providers)
        missing = [role for role in ("detection", "recognition") if role not in networks]
        if missing:
            found = ", ".join(path.name for path in _files(place, name)) or "no ONNX files"
            raise ValueError(
                f"The face pack {name} has no network for the {' and the '.join(missing)} of faces: {place} holds "
                f"{found}. Get all files of the pack again."
            )
        return cls(name, Detector(networks["detection"]), Recogniser(networks["recognition"]), providers)

    def find(self, picture: Array, sizes: Sequence[int] = SIZES) -> list[Face]:
        """The faces in a picture (H, W, 3) of 8 bits, RGB, the surest first.

        sizes: sides of the squares in which they are looked for, one after the other until there is one

        Raises:
            ValueError: the picture is something else.
        """
        _check(picture)
        found = self.detector.find(picture, sizes)
        return [
            Face(box, float(score), points, self.recogniser.embedding(picture, points), found.looked_at)
            for box, score, points in zip(found.boxes, found.scores, found.points)
        ]

    def get(self, picture: Array, *_: object, **__: object) -> list[FoundFace]:
        """The faces in a picture (H, W, 3) of 8 bits, BGR, as insightface's `FaceAnalysis.get` gives them.

        Packs for insightface can use this object. They set `det_model.input_size` to the square to look in.
        """
        size = int(self.det_model.input_size[0])
        faces = self.find(np.ascontiguousarray(picture[..., ::-1]), (size,))
        return [FoundFace(each.box, each.points, each.score, each.embedding, each.normed) for each in faces]


def _files(folder: Path, name: str) -> list[Path]:
    inner = folder / (name or folder.name)
    return sorted(folder.glob("*.onnx")) or sorted(inner.glob("*.onnx"))


def _networks(files: Sequence[Path], providers: Sequence[str]) -> dict[Role, Network]:
    """The first network of each role."""
    networks: dict[Role, Network] = {}
    for path in files:
        if path.name not in KNOWN:
            network = open_network(path, providers)
            networks.setdefault(network.role, network)
    return networks


def _check(picture: Array) -> None:
    given = (
        f"{picture.dtype} of shape {list(picture.shape)}" if isinstance(picture, np.ndarray) else repr(type(picture))
    )
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"Faces are looked for in a picture of 8 bits, (height, width, 3), and was given {given}.")
    if 0 in picture.shape:
        raise ValueError(f"Faces are looked for in a picture, and this one has no pixels ({given}).")
