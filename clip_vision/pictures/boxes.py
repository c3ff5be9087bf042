"""Which part of a picture an encoder reads. Letters: B pictures, H, W sides of a picture.

js/encode/crop_box.mjs holds the same functions, and tests/clip_vision/boxes.json what both have to give.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Union, cast

import torch
from torch import Tensor

from ..config import Rgb

Crop = Union[str, tuple[float, float, float]]
LARGEST = 4  # side of a square that is placed by hand, as a part of the shorter side of the picture
FITS = (
    "give left, top and side, such as 0.25, 0.1, 0.5: parts of the width, the height and the shorter side of the "
    f"picture. The side is more than 0 and at most {LARGEST}, and the square shows something of the picture."
)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
LONGEST = 80  # characters of what was given, in a message


class Edges(NamedTuple):
    """A part of a picture, in pixels. It may reach beyond the edges of the picture."""

    top: int
    left: int
    bottom: int
    right: int


class Box(NamedTuple):
    """A square in a picture, in pixels. It may reach beyond the edges of the picture."""

    top: int
    left: int
    side: int

    @property
    def edges(self) -> Edges:
        return Edges(self.top, self.left, self.top + self.side, self.left + self.side)


def crop_box(height: int, width: int, crop: Crop) -> Edges:
    """What a crop takes of a picture: a square, but for "squash", which takes all of it.

    crop: a key of `CROPS`; or (left, top, side): where a square begins, as parts of the width and of the height, and
        how long it is, as a part of the shorter side. It may reach beyond the picture, where the background fills it

    Raises:
        ValueError: it is neither, or the square shows nothing of the picture.
    """
    crop = check_crop(crop)
    return BOXES[crop](height, width) if isinstance(crop, str) else _by_hand(height, width, crop)


def read_box(text: str) -> tuple[float, float, float] | None:
    """The numbers in a text, such as "0.25, 0.1, 0.5", as `crop_box` takes them; None if it is blank.

    Raises:
        ValueError: it is another text.
    """
    words = text.replace(",", " ").split()
    if not words:
        return None
    if len(words) != 3 or not all(map(NUMBER.fullmatch, words)):
        raise ValueError(f"The box is {text!r:.{LONGEST}}: {FITS}")
    left, top, side = map(float, words)
    _check_square((left, top, side), f"{text!r:.{LONGEST}}")
    return left, top, side


def check_crop(crop: object) -> Crop:
    """The crop, if it is a key of `CROPS` or (left, top, side). ValueError otherwise."""
    if isinstance(crop, str) and crop in BOXES:
        return crop
    numbers = [*cast("Sequence[object]", crop)] if isinstance(crop, (tuple, list)) else []
    found = [float(each) for each in numbers if isinstance(each, (int, float))]
    if not len(found) == len(numbers) == 3:
        raise ValueError(f"Unknown crop {crop!r:.{LONGEST}}. Known: {', '.join(BOXES)}, or (left, top, side).")
    left, top, side = found
    _check_square((left, top, side), f"{numbers!r:.{LONGEST}}")
    return left, top, side


def cut(pictures: Tensor, edges: Edges, background: Rgb) -> Tensor:
    """A part of pictures (B, 3, H, W) uint8. Beyond their edges it has the color of the background."""
    top, left, bottom, right = edges
    height, width = pictures.shape[2:]
    found = pictures[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    if found.shape[2:] == (bottom - top, right - left):
        return found
    color = (torch.tensor(background) * 255).round().to(torch.uint8)
    whole = color.view(1, 3, 1, 1).repeat(len(pictures), 1, bottom - top, right - left)
    whole[:, :, max(-top, 0) : height - top, max(-left, 0) : width - left] = found
    return whole


def _check_square(square: tuple[float, float, float], given: str) -> None:
    left, top, side = square
    if not (all(map(math.isfinite, square)) and 0 < side <= LARGEST and -side < left < 1 and -side < top < 1):
        raise ValueError(f"The box is {given}: {FITS}")


def _by_hand(height: int, width: int, square: tuple[float, float, float]) -> Edges:
    left, top, side = square
    box = Box(_nearest(top * height), _nearest(left * width), max(1, _nearest(side * min(height, width)))).edges
    if box.bottom <= 0 or box.right <= 0 or box.top >= height or box.left >= width:
        raise ValueError(
            f"The box {left:g}, {top:g}, {side:g} lies beside the picture of {width}x{height} pixels: {FITS}"
        )
    return box


def _nearest(number: float) -> int:
    """The nearest whole number, and of two the greater, so that any language gives the same."""
    return math.floor(number + 0.5)


def _inside(down: float, right: float) -> Callable[[int, int], Edges]:
    """The largest square in a picture: `down` and `right` in 0..1 say where in what is left over."""

    def box(height: int, width: int) -> Edges:
        side = min(height, width)
        return Box(int(down * (height - side)), int(right * (width - side)), side).edges

    return box


def _around(height: int, width: int) -> Edges:
    """The smallest square that holds all of a picture, in its middle."""
    side = max(height, width)
    return Box(-((side - height) // 2), -((side - width) // 2), side).edges


def _whole(height: int, width: int) -> Edges:
    return Edges(0, 0, height, width)


BOXES: dict[str, Callable[[int, int], Edges]] = {
    "center": _inside(0.5, 0.5),
    "top": _inside(0.0, 0.5),
    "bottom": _inside(1.0, 0.5),
    "left": _inside(0.5, 0.0),
    "right": _inside(0.5, 1.0),
    "pad": _around,
    "squash": _whole,
}
