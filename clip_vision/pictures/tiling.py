"""Squares that cover a picture, for encoders that read one square. Letters: H, W sides of a picture, T tiles of it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import Rgb
from .boxes import Box
from .images import Pictures, to_rgb
from .preprocessing import BLACK

ALONG = 2  # tiles along the short side, by default: each picture is then seen in more detail than as one square
MOST_ALONG = 8
MOST_TILES = 64  # of one picture


def cut_tiles(images: Pictures, along: int = ALONG, background: Rgb = BLACK) -> list[Tensor]:
    """The tiles of each picture, (T, side, side, 3) uint8, for calls that take pictures.

    `images` and the errors are those of `images.to_rgb`; `along` and its errors are those of `tile_boxes`.
    """
    pictures = [picture for batch in to_rgb(images, background) for picture in torch.unbind(batch.movedim(1, -1))]
    return [_tiles(picture, along) for picture in pictures]


def _tiles(picture: Tensor, along: int) -> Tensor:
    boxes = tile_boxes(picture.shape[0], picture.shape[1], along)
    return torch.stack([picture[top : top + side, left : left + side] for top, left, side in boxes])


def tile_boxes(height: int, width: int, along: int = ALONG) -> list[Box]:
    """The squares of a grid that covers a picture, row by row.

    `along` squares lie along the short side, and as many as are needed along the long one. Where they do not fit
    exactly they overlap, all of them equally up to one pixel.

    Raises:
        ValueError: `along` is no whole number from 1 to 8, or the picture is so narrow that it has more than 64 tiles.
    """
    check_along(along)
    side = -(-min(height, width) // along)
    tops, lefts = _starts(height, side), _starts(width, side)
    if len(tops) * len(lefts) > MOST_TILES:
        raise ValueError(
            f"A picture of {width}x{height} pixels has {len(tops) * len(lefts)} tiles with {along} along its short "
            f'side, and at most {MOST_TILES} are made: ask for fewer, cut the picture first, or use the crop "pad".'
        )
    return [Box(top, left, side) for top in tops for left in lefts]


def check_along(along: object) -> None:
    """Raise a ValueError if a number of tiles along the short side is no whole number from 1 to 8."""
    if not isinstance(along, int) or not 1 <= along <= MOST_ALONG:
        raise ValueError(
            f"The number of tiles along the short side is {along!r:.80}: give a whole number from 1 to {MOST_ALONG}."
        )


def _starts(length: int, side: int) -> list[int]:
    """Where the fewest squares that cover a length begin. Whole numbers alone, so that any language gives the same."""
    count = -(-length // side)
    return [number * (length - side) // max(1, count - 1) for number in range(count)]
