"""Bring faces to where recognition networks and image encoders expect them.

Source: S. Umeyama, Least-squares estimation of transformation parameters between two point patterns, IEEE TPAMI 1991,
and the templates of deepinsight/insightface (`face_align`) and xinntao/facexlib (`FaceRestoreHelper`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image

from .face import Array
from .sampling import warp


@dataclass(frozen=True)
class Template:
    """Where the five points of a face come to lie.

    points: x and y of each in a square of `side` pixels
    border: the colour outside the picture
    """

    points: tuple[tuple[float, float], ...]
    side: int
    border: tuple[int, int, int] = (0, 0, 0)

    def at(self, size: int) -> Array:
        """The points in a square of `size` pixels."""
        return np.array(self.points, np.float64) * (size / self.side)


_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_WIDE = 8.0  # in a square of 128 pixels the same points lie 8 pixels further right

TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "arcface": Template(_ARCFACE, 112),
        "arcface 128": Template(tuple((x + _WIDE, y) for x, y in _ARCFACE), 128),
        "ffhq": Template(
            (
                (192.98138, 239.94708),
                (318.90277, 240.1936),
                (256.63416, 314.01935),
                (201.26117, 371.41043),
                (313.08905, 371.15118),
            ),
            512,
            border=(132, 133, 135),  # facexlib has blue first
        ),
    }
)


def align(picture: Array, points: Array, size: int, template: str = "arcface") -> Array:
    """The square around a face, turned and scaled so that its five points lie where a template has them.

    Args:
        picture: (H, W, 3), 8 bits
        points: (5, 2), as `Face.points`
        size: of the square in pixels
        template: a key of `TEMPLATES`. As in insightface, "arcface" has more room around the face in squares of a
            multiple of 128 pixels that is not one of 112

    Returns:
        (size, size, 3), 8 bits

    Raises:
        ValueError: all points are the same.
    """
    chosen = TEMPLATES[_wide(template, size)]
    return warp(picture, similarity(points, chosen.at(size)), size, chosen.border)


def _wide(template: str, size: int) -> str:
    return f"{template} 128" if template == "arcface" and size % 112 and size % 128 == 0 else template


def similarity(points: Array, wanted: Array) -> Array:
    """The rotation, scale and shift that bring points nearest to where they are wanted, as a matrix (2, 3).

    points, wanted: (N, 2)

    Raises:
        ValueError: all points are the same, or not finite.
    """
    points, wanted = points.astype(np.float64), wanted.astype(np.float64)
    centre, goal = points.mean(0), wanted.mean(0)
    around, about = points - centre, wanted - goal
    variance = float((around**2).sum())
    if not variance or not np.isfinite(variance):
        wrong = "NaN or infinite" if variance else "one and the same"
        raise ValueError(f"The five points of the face are {wrong}, so it cannot be aligned.")
    # of two dimensions: a + ib is the complex number that turns and scales the one onto the other
    real = float((around * about).sum()) / variance
    imaginary = float((around[:, 0] * about[:, 1] - around[:, 1] * about[:, 0]).sum()) / variance
    turn = np.array([[real, -imaginary], [imaginary, real]])
    return np.hstack([turn, (goal - turn @ centre)[:, None]])


def crop_box(picture: Array, box: Array, size: int) -> Array:
    """The square around the box of a face, as it lies in the picture: (size, size, 3), 8 bits.

    The square has the longer side of the box, around its centre. What lies outside the picture is black. Source:
    Kwai-Kolors/Kolors, its FaceID pipeline.

    Raises:
        ValueError: the box is empty.
    """
    left, top, right, bottom = map(float, box)
    half, x, y = max(right - left, bottom - top) / 2, (left + right) / 2, (top + bottom) / 2
    sides = x - half, y - half, x + half, y + half
    square = Image.fromarray(picture).crop((round(sides[0]), round(sides[1]), round(sides[2]), round(sides[3])))
    if not all(square.size):
        raise ValueError(f"The box of a face is {list(map(float, box))}, which is empty: nothing can be cut out.")
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
