"""A face in a picture, and which faces of a picture are meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Face:
    """A face that was found in a picture.

    box: (4,), left, top, right and bottom in pixels of the picture
    score: how sure the detection is, from 0 to 1
    points: (5, 2), x and y of the left and right eye, the nose, and the left and right corner of the mouth, as they are
        seen in the picture
    embedding: (512,), the identity as the network gives it
    looked_at: side of the square in which it was found, in pixels; the picture was fitted into it
    """

    box: Array
    score: float
    points: Array
    embedding: Array
    looked_at: int

    @property
    def normed(self) -> Array:
        """The identity, L2-normalised."""
        return normed(self.embedding)

    @property
    def area(self) -> float:
        """The area of the box in square pixels."""
        left, top, right, bottom = map(float, self.box)
        return (right - left) * (bottom - top)


def normed(vector: Array) -> Array:
    """A vector divided by its length; zeros stay zeros."""
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def _largest(faces: Sequence[Face], index: int) -> list[Face]:
    return [max(faces, key=lambda face: face.area)]


def _by_index(faces: Sequence[Face], index: int) -> list[Face]:
    if not 0 <= index < len(faces):
        raise ValueError(f"Face number {index} was asked for, and {_count(faces)} found: {_indices(len(faces))}.")
    return [faces[index]]


def _all(faces: Sequence[Face], index: int) -> list[Face]:
    return list(faces)


def _left_to_right(faces: Sequence[Face], index: int) -> list[Face]:
    return sorted(faces, key=lambda face: float(face.box[0] + face.box[2]))


CHOICES: Mapping[str, Callable[[Sequence[Face], int], list[Face]]] = MappingProxyType(
    {
        "largest": _largest,
        "by index": _by_index,
        "all": _all,
        "left to right": _left_to_right,
    }
)


def choose(faces: Sequence[Face], how: str, index: int = 0) -> list[Face]:
    """The faces of a picture that are meant: one, or all in the order of their scores or of their places.

    how: a key of `CHOICES`
    index: the number of the face "by index", counted from 0 in the order of `faces`

    Raises:
        ValueError: there is no such choice, or no such face.
    """
    if how not in CHOICES:
        raise ValueError(f"Faces cannot be chosen by {how!r}: choose one of {', '.join(CHOICES)}.")
    return CHOICES[how](faces, index) if faces else []


def _count(faces: Sequence[Face]) -> str:
    return "1 face was" if len(faces) == 1 else f"{len(faces)} faces were"


def _indices(count: int) -> str:
    if count == 1:
        return "give 0, the index of the only one"
    return f"give an index from 0 to {count - 1}, where 0 is the most certain"
