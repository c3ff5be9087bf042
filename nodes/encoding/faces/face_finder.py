"""What finds faces in pictures: our analyser, and the FaceAnalysis of insightface that other packs load."""

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ....faces import Face, FaceAnalyser
from ... import input_checks

SIZES: Mapping[str, Callable[[int], Any]] = {  # attributes of insightface's detectors -> their value for a square
    "input_size": lambda size: (size, size),
    "input_sizes": lambda size: [(size, size)],  # since version 2.1, which looks in all of them
}
PARTS = {"bbox": (4,), "kps": (5, 2), "embedding": (512,)}  # what is read of a face, and its shape
KEPT = 512  # pictures whose faces are remembered, of each analyser

Picture = npt.NDArray[np.uint8]  # RGB, (H, W, 3)
Find = Callable[[Picture, Sequence[int]], list[Face]]

_known: weakref.WeakKeyDictionary[Any, OrderedDict[Hashable, list[Face]]] = weakref.WeakKeyDictionary()


class FaceFinder:
    """Finds faces, and remembers those of the pictures that it has seen.

    analyser: what a socket carries, which tells it from other finders
    """

    def __init__(self, analyser: Any, find: Find):
        self._known = _known.setdefault(analyser, OrderedDict())
        self._find = find

    def find(self, picture: Picture, sizes: Sequence[int]) -> list[Face]:
        """The faces of a picture, the most certain first.

        sizes: sides of the square in which it is looked through, one after the other until there is a face
        """
        key = (hashlib.sha256(picture.tobytes()).digest(), picture.shape, tuple(sizes))
        if key not in self._known:
            self._known[key] = self._find(picture, sizes)
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return list(self._known[key])


def as_finder(value: Any, name: str = "insightface") -> FaceFinder:
    """What finds faces with the face analyser on a wire, ours or that of another pack.

    name: what to call the input in messages

    Raises:
        ValueError: it carries none.
    """
    if isinstance(value, FaceAnalyser):
        return FaceFinder(value, value.find)
    if callable(getattr(value, "get", None)) and hasattr(getattr(value, "det_model", None), "input_size"):
        return FaceFinder(value, partial(_found_by_insightface, value))
    raise ValueError(f"The {name} is {input_checks.described(value)}: connect Load Face Analyser.")


def _found_by_insightface(analysis: Any, picture: Picture, sizes: Sequence[int]) -> list[Face]:
    blue_first = np.ascontiguousarray(picture[..., ::-1])
    with _input_size_restored(analysis.det_model):
        for size in sizes:
            for name in _sizes(analysis.det_model):
                setattr(analysis.det_model, name, SIZES[name](size))
            if found := analysis.get(blue_first):
                return [_face(each, size) for each in found]
    return []


@contextmanager
def _input_size_restored(detector: Any) -> Iterator[None]:
    """Leave a detector as it was: nodes of other packs use it too."""
    before = {name: getattr(detector, name) for name in _sizes(detector)}
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(detector, name, value)


def _sizes(detector: Any) -> list[str]:
    """The attributes that say in which squares a detector looks."""
    return [name for name in SIZES if getattr(detector, name, None) is not None]


def _face(found: Any, size: int) -> Face:
    parts = [getattr(found, name, None) for name in PARTS]
    box, points, embedding = (np.asarray(each, np.float32) for each in parts)
    given = {name: each.shape for name, each in zip(PARTS, (box, points, embedding), strict=True)}
    if odd := next((name for name, shape in PARTS.items() if given[name] != shape), ""):
        raise ValueError(
            f"The insightface that is connected gives no {odd} of the shape {list(PARTS[odd])} for a face: load all "
            "models of its pack, those for recognition and for detection with points, or connect Load Face Analyser."
        )
    return Face(box=box, score=float(found.det_score), points=points, embedding=embedding, looked_at=size)
