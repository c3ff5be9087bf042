"""Bicubic resizing with antialiasing, as Pillow does it, to the bit. Letters: B pictures, C channels, H, W sides.

CLIP and SigLIP saw pictures through this filter in training. torch's own kernels round elsewhere and differ by up to
17 levels of 255 where one side grows and the other shrinks.
Formulas: R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -1/2, and
https://github.com/python-pillow/Pillow/blob/12.0.0/src/libImaging/Resample.c (fixed point with 22 bits).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

SUPPORT = 2.0  # the cubic reaches two pixels to each side
FIXED_POINT = 1 << 22
BLOCK = 16  # outputs computed together: a band of the weight matrix, which is nearly all zeros elsewhere
KEPT = 16  # pairs of sides whose weights are kept; 1 MB for a side of 8,000 pixels


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize pictures: (B, C, H, W) uint8 -> (B, C, height, width) uint8.

    One side is resized, then the other, with 8 bits in between. The order is that of Pillow 13
    (https://github.com/python-pillow/Pillow/pull/9549); older versions always resize the width first.
    """
    old_height, old_width = pixels.shape[2:]
    if old_height > height and old_height - height > 2 * (old_width - width):
        return _across(_down(pixels, height), width)
    return _down(_across(pixels, width), height)


def _down(pixels: Tensor, height: int) -> Tensor:
    return _across(pixels.transpose(2, 3), height).transpose(2, 3)


def _across(pixels: Tensor, width: int) -> Tensor:
    """Resize the width alone: (B, C, H, W) -> (B, C, H, width)."""
    old = pixels.shape[3]
    if old == width:
        return pixels
    return torch.cat([_columns(pixels, band) for band in _bands(old, width)], dim=3)


def _columns(pixels: Tensor, band: Band) -> Tensor:
    """Some columns of the new picture: (B, C, H, W) -> (B, C, H, columns)."""
    found = pixels[..., band.first : band.last].double() @ band.weights
    return found.add_(FIXED_POINT // 2).div_(FIXED_POINT).floor_().clamp_(0, 255).to(torch.uint8)


class Band(NamedTuple):
    """What some columns of a new picture take from the old one.

    first, last: the old columns that they see, without the last
    weights: (old columns, columns), whole numbers
    """

    first: int
    last: int
    weights: Tensor


@lru_cache(maxsize=KEPT)
def _bands(old: int, width: int) -> tuple[Band, ...]:
    """All columns of a side that is resized from `old` to `width` pixels."""
    return tuple(
        _band(old, torch.arange(start, min(start + BLOCK, width)), old / width) for start in range(0, width, BLOCK)
    )


def _band(old: int, columns: Tensor, scale: float) -> Band:
    """scale: how many old pixels a new one is wide"""
    stretch = max(1.0, scale)
    centers = (columns.double() + 0.5) * scale
    first = (centers - SUPPORT * stretch + 0.5).long().clamp(min=0)
    last = (centers + SUPPORT * stretch + 0.5).long().clamp(max=old)  # past the end
    taps = torch.arange(int(first[0]), int(last[-1]))  # old columns under the band
    weights = _cubic((taps - centers[:, None] + 0.5) / stretch)
    weights = weights * ((taps >= first[:, None]) & (taps < last[:, None]))
    weights = weights / weights.sum(1, keepdim=True) * FIXED_POINT
    weights = torch.trunc(weights + 0.5 * weights.sign())
    return Band(int(first[0]), int(last[-1]), weights.T.contiguous())


def _cubic(x: Tensor) -> Tensor:
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return torch.where(x < 1, near, torch.where(x < SUPPORT, far, torch.zeros_like(x)))
