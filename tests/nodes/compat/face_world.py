"""A finder of faces that other packs may have loaded, and a world whose adapter reads the faces that it finds.

Letters: see formulas.py.
"""

from collections.abc import Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import tiny
import torch
from insightface.utils import face_align
from torch import Tensor

from image_prompt.devtools import published
from image_prompt.ip_adapter import load_adapter

from .calls import World

POINTS = np.array([[74.0, 82.0], [121.0, 90.0], [96.0, 118.0], [70.0, 140.0], [112.0, 147.0]], np.float32)


def faces_in(picture: np.ndarray, seed: int = 0) -> Iterator[SimpleNamespace]:
    """Two faces that differ from picture to picture, the smaller one first. picture: (H, W, 3) uint8, blue first"""
    generator = np.random.default_rng([seed, int(picture.astype(np.int64).sum())])
    for number, side in enumerate((60, 90)):
        points = POINTS + generator.uniform(-6, 6, POINTS.shape).astype(np.float32)
        embedding = generator.normal(0, 2, 512).astype(np.float32)
        yield SimpleNamespace(
            bbox=np.array([40, 50, 40 + side, 50 + side], np.float32),
            kps=points,
            det_score=0.9 - 0.2 * number,
            embedding=embedding,
            normed_embedding=embedding / np.linalg.norm(embedding),
        )


class Finder:
    """An INSIGHTFACE object of another pack.

    sees_at: the side of the square from which down it finds faces
    only: the pictures in which it finds any, (N, H, W, 3); None: all
    """

    def __init__(self, sees_at: int = 640, only: Tensor | None = None, seed: int = 0):
        self.det_model = SimpleNamespace(input_size=(320, 320))
        self.sees_at, self.seed = sees_at, seed
        self.only = None if only is None else {int(bytes_of(each).astype(np.int64).sum()) for each in only}
        self.asked: list[int] = []

    def get(self, picture: np.ndarray) -> list[SimpleNamespace]:
        self.asked.append(self.det_model.input_size[0])
        shown = self.only is None or int(picture.astype(np.int64).sum()) in self.only
        return list(faces_in(picture, self.seed)) if shown and self.asked[-1] <= self.sees_at else []


def bytes_of(image: Tensor) -> np.ndarray:
    """A picture (H, W, 3) in 8 bits, cut down, not rounded, blue first."""
    return np.ascontiguousarray((image * 255).byte().numpy()[..., ::-1])


PROJECTIONS = {
    "faceid": published.identity,
    "plus": lambda context: published.identity_perceiver(context, width=32, heads=2, depth=1),
    "portrait": lambda context: published.identity(context, tokens=16),
    "unnorm": lambda context: published.resampler(context, 512, dim=64, heads=1, depth=1),
}
FAMILIES = {"faceid": "faceid", "portrait": "faceid-portrait", "unnorm": "faceid-portrait-unnorm"}


class FaceWorld(World):
    """A world with an adapter that reads faces. kind: a key of `PROJECTIONS`"""

    def __init__(self, base: str, kind: str):
        super().__init__(base, "plus")
        self.projecting, self.crop = kind, {"SD1.5": 224, "SDXL": 256}[base]
        self.file = tiny.file_for(self.model, PROJECTIONS[kind])
        self.wire = published.nested(self.file)

    def faces(self, images: Tensor) -> list[tuple[np.ndarray, SimpleNamespace]]:
        """The face of the highest score in each picture, with its picture of 8 bits."""
        return [(each, next(faces_in(each))) for each in map(bytes_of, images)]

    def crops(self, images: Tensor, side: int = 0) -> Tensor:
        cut = [face_align.norm_crop(each, face.kps, side or self.crop) for each, face in self.faces(images)]
        return torch.stack([torch.from_numpy(each[..., ::-1].copy()) for each in cut]) / 255.0

    def identities(self, images: Tensor, raw: bool = False) -> Tensor:
        found = [face.embedding if raw else face.normed_embedding for _, face in self.faces(images)]
        return torch.from_numpy(np.stack(found))

    @cached_property
    def nets(self) -> dict[str, Any]:
        """The projection as that of each family whose files have these shapes."""
        ids = ("faceid-plus", "faceid-plus-v2") if self.projecting == "plus" else (FAMILIES[self.projecting],)
        return {id: load_adapter(self.file, family=id).eval() for id in ids}

    def face_tokens(self, family: str, identity: Tensor, hidden: Tensor | None, shortcut: float = 1.0) -> Tensor:
        """(N, T, C)"""
        net = self.nets[family]
        (first, *more) = [reads.name for reads in net.reads]
        return net.tokens({first: identity, **dict.fromkeys(more, hidden)}, shortcut=shortcut)
