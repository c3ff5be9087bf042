"""Read pictures between their pixels: resize and warp them by bilinear interpolation, as OpenCV does.

Letters: H and W, height and width of a picture.
"""

from __future__ import annotations

import numpy as np

from .face import Array


def resized(picture: Array, width: int, height: int) -> Array:
    """A picture (H, W, 3) of 8 bits in another size, without antialiasing."""
    (rows, below, down), (columns, beside, across) = (
        _between(size, wanted) for size, wanted in zip(picture.shape[:2], (height, width))
    )
    lines = picture.astype(np.float32)
    lines = lines[rows] + (lines[below] - lines[rows]) * down[:, None, None]
    lines = lines[:, columns] + (lines[:, beside] - lines[:, columns]) * across[None, :, None]
    return _as_bytes(lines)


def _between(size: int, wanted: int) -> tuple[Array, Array, Array]:
    """For each of `wanted` pixels: the pixels among `size` before and after its centre, and the way between them."""
    centres = (np.arange(wanted, dtype=np.float64) + 0.5) * (size / wanted) - 0.5
    centres = centres.clip(0, size - 1)
    before = np.floor(centres).astype(np.int64)
    return before, np.minimum(before + 1, size - 1), (centres - before).astype(np.float32)


def warp(picture: Array, matrix: Array, size: int, border: tuple[int, int, int] = (0, 0, 0)) -> Array:
    """A square (size, size, 3) of 8 bits out of a picture, moved by an affine map.

    matrix: (2, 3), from places in the picture to places in the square
    border: the colour outside the picture
    """
    turn = np.linalg.inv(matrix[:, :2])
    y, x = np.mgrid[:size, :size].astype(np.float64)
    places = np.stack([x, y], axis=-1) - matrix[:, 2]
    places = places @ turn.T  # (size, size, 2), x and y in the picture
    (first, top), (last, bottom) = _bounds(places, picture)
    picture, places = picture[top:bottom, first:last], places - (first, top)
    height, width = picture.shape[:2]
    framed = np.empty((height + 2, width + 2, 3), np.float32)
    framed[:] = border
    framed[1:-1, 1:-1] = picture
    x, y = places[..., 0].clip(-1, width) + 1, places[..., 1].clip(-1, height) + 1
    left, top = np.minimum(np.floor(x).astype(np.int64), width), np.minimum(np.floor(y).astype(np.int64), height)
    across, down = (x - left)[..., None].astype(np.float32), (y - top)[..., None].astype(np.float32)
    upper = framed[top, left] * (1 - across) + framed[top, left + 1] * across
    lower = framed[top + 1, left] * (1 - across) + framed[top + 1, left + 1] * across
    return _as_bytes(upper * (1 - down) + lower * down)


def _bounds(places: Array, picture: Array) -> Array:
    """The first and the last corner, (2, 2) of x and y, of the part of a picture that lies around places (..., 2)."""
    ends = np.stack([np.floor(places.min((0, 1))) - 1, np.ceil(places.max((0, 1))) + 2])
    return ends.clip(0, picture.shape[1::-1]).astype(np.int64)


def _as_bytes(values: Array) -> Array:
    return np.rint(values).clip(0, 255).astype(np.uint8)
