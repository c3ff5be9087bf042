"""A hash of what a picture shows, which stays nearly the same when it is re-encoded or resized."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from ...clip_vision.pictures.images import Picture, decoded, to_rgb

ROWS, COLUMNS = 8, 8  # bits
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
STEP = 0.5  # of 255: in a flat area, noise is no step
WHITE = (1.0, 1.0, 1.0)


def dhash(image: Picture) -> int:
    """The difference hash of a picture: 64 bits, of which each says whether a cell of 9x8 is darker than the next.

    It is equal for a PIL image and for the tensor (H, W, C) of its pixels. The cells are exact means, so that they
    hardly depend on the size of the picture. The first bit, the highest, is of the top left
    (https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html).

    Raises:
        ValueError: it is no picture, or several.
    """
    pixels = _rgb(image)
    height, width, _ = pixels.shape
    lines = cell_weights(height, ROWS) @ pixels.reshape(height, -1).float()  # (8, 3 W)
    grey = cell_weights(width, COLUMNS + 1) @ (lines.view(ROWS, width, 3) @ torch.tensor(LUMA)).T  # (9, 8)
    return int("".join("01"[bool(bit)] for bit in (grey.diff(dim=0) > STEP).T.flatten()), 2)


def _rgb(image: Picture) -> Tensor:
    """One picture as (H, W, 3) uint8."""
    if hasattr(image, "getbands"):
        image = decoded(cast("Any", image))
        if image.dtype == torch.uint8 and image.shape[2] == 3:
            return image  # as it is: most are, and `to_rgb` moves each number
    (pixels,) = to_rgb([image], WHITE)
    if len(pixels) != 1:
        raise ValueError(f"A batch of {len(pixels)} pictures has no hash: give one picture.")
    return pixels[0].permute(1, 2, 0)


def distance(a: int, b: int) -> int:
    """How many bits differ."""
    return (a ^ b).bit_count()


def distances(a: Tensor, b: Tensor) -> Tensor:
    """How many bits of int64 differ, of pairs."""
    bits = a ^ b
    bits = bits - ((bits >> 1) & 0x5555555555555555)
    bits = (bits & 0x3333333333333333) + ((bits >> 2) & 0x3333333333333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (bits * 0x0101010101010101) >> 56


@lru_cache(maxsize=64)
def cell_weights(pixels: int, cells: int) -> Tensor:
    """(cells, pixels), the share of each pixel in the mean of each cell of a line of pixels."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * pixels / cells
    left = torch.arange(pixels, dtype=torch.float64)
    shares = (edges[1:, None].minimum(left + 1) - edges[:-1, None].maximum(left)).clamp(min=0)
    return (shares * cells / pixels).float()
