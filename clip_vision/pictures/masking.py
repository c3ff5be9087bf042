"""Masks that say which part of a picture counts. Letters: H, W sides of a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..config import Rgb
from .boxes import Box, cut
from .images import Pictures, on_background, to_rgb
from .preprocessing import BLACK

MARGIN = 0.1  # beside what a mask shows, as a part of its longer side
INSIDE = 128  # of 255: from here on a pixel of a mask is taken to be inside


def clear_outside(images: Pictures, mask: Pictures, background: Rgb = BLACK) -> list[Tensor]:
    """Pictures that turn into the background outside a mask, (H, W, 3) uint8 each, for calls that take pictures.

    images: as `images.to_rgb` takes them
    mask: grey pictures, white where the picture stays: one for all, or one for each

    Raises:
        ValueError: what `images.to_rgb` raises, there are more or fewer masks than pictures, a mask is not as large as
            its picture, or it is black.
    """
    return [
        on_background(torch.cat([picture, shown], dim=1), background)[0].movedim(0, -1)
        for picture, shown in _pairs(images, mask, background)
    ]


def crop_to_mask(images: Pictures, mask: Pictures, margin: float = MARGIN, background: Rgb = BLACK) -> list[Tensor]:
    """The square around what a mask shows of each picture, (side, side, 3) uint8, for calls that take pictures.

    images, mask, errors: as `clear_outside`
    margin, errors: as `mask_box`
    background: of transparent pictures, and of what the square holds beyond the edges of the picture
    """
    return [
        cut(picture, mask_box(shown[0, 0], margin).edges, background)[0].movedim(0, -1)
        for picture, shown in _pairs(images, mask, background)
    ]


def check_margin(margin: object) -> None:
    """Raise a ValueError if a margin around a mask is no finite number of at least 0."""
    if not isinstance(margin, (int, float)) or not 0 <= margin < math.inf:
        raise ValueError(
            f"The margin around the mask is {margin!r:.80}: give a number of at least 0, such as {MARGIN}."
        )


def mask_box(mask: Tensor, margin: float = MARGIN) -> Box:
    """The square around the white part of a mask (H, W) uint8.

    margin: what is added on each side, as a part of the longer side of the white part. It is given up as far as
        needed for the square to lie in the picture, which only a white part longer than the picture's short side
        prevents

    Raises:
        ValueError: the margin is no number of at least 0, or no pixel of the mask is at least half white.
    """
    check_margin(margin)
    inside = mask >= INSIDE
    if not inside.any():
        raise ValueError(
            f"The mask shows nothing to crop to: its brightest pixel is {int(mask.max()) / 255:.2g}, and from 0.5 on a "
            "pixel counts. Give a mask that is white where the picture counts."
        )
    rows, columns = (
        (int(found[0]), int(found[-1]) + 1) for found in (inside.any(1).nonzero(), inside.any(0).nonzero())
    )
    height, width = mask.shape
    long = max(rows[1] - rows[0], columns[1] - columns[0])
    side = max(long, round(min(long * (1 + 2 * margin), height, width)))
    return Box(_start(rows, side, height), _start(columns, side, width), side)


def _start(span: tuple[int, int], side: int, length: int) -> int:
    """Where a square begins that has a span in its middle, or as near to it as lies in the picture."""
    if side > length:
        return (length - side) // 2
    return min(max((span[0] + span[1] - side) // 2, 0), length - side)


def _pairs(images: Pictures, mask: Pictures, background: Rgb) -> Iterator[tuple[Tensor, Tensor]]:
    """Each picture (1, 3, H, W) with its mask (1, 1, H, W), both uint8."""
    pictures = [each for batch in to_rgb(images, background) for each in torch.split(batch, 1)]
    masks = [each[:, :1] for batch in to_rgb(mask, BLACK) for each in torch.split(batch, 1)]
    if len(masks) not in (1, len(pictures)):
        raise ValueError(
            f"There are {len(masks)} masks for {len(pictures)} pictures: give one mask for all, or one for each."
        )
    for number, picture in enumerate(pictures):
        shown = masks[number % len(masks)]
        (height, width), (mask_height, mask_width) = picture.shape[2:], shown.shape[2:]
        if (height, width) != (mask_height, mask_width):
            raise ValueError(
                f"The mask is {mask_width}x{mask_height} pixels large, and its picture {width}x{height}: give a mask "
                "of the size of the picture."
            )
        if not shown.any():
            raise ValueError(
                f"The mask {f'of picture {number + 1} ' if len(masks) > 1 else ''}is black, so that nothing of the "
                "picture counts: make it white where it does."
            )
        yield picture, shown
