"""Regions as text: rectangles and polygons in parts of the picture, and the masks that they mean.

js/regions/text.mjs reads the same; tests/scripts/regions/texts.json says what both find.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ...ip_adapter.weight_text import NUMBER, quoted

SAMPLES = 8  # along each side of a mask's pixel, so that a mask of a latent has one for each pixel of the picture
COMMENT = "#"
LINE = re.compile(
    r"(?P<label>.*\S)\s*:\s*(?P<cut>-\s*|not\s+)?(?P<shape>[a-z]+)(?P<numbers>([\s,].*)?)", re.ASCII | re.IGNORECASE
)
PROBLEMS: Mapping[str, str] = {
    "form": "is {given}: write a reference, a colon and a shape, such as 1: rect 0 0, 0.5 1",
    "shape": "has the shape {given}: write rect or polygon",
    "number": "has the number {given}: it must be between 0 (left or top) and 1 (right or bottom), such as 0.5",
    "rect": "has a rect of {given} numbers: it takes 4, which are x and y of two opposite corners",
    "polygon": "has a polygon of {given} numbers: it takes x and y of three points or more",
    "area": "has a rect of no {given}: its corners must differ in x and in y",
}

Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A part of the picture in which a reference acts, or where it does not.

    line: where the text says it, counted from 1
    label: the number or the name of the reference
    cut: whether it is taken away from the shapes before it
    points: x and y of its corners, in 0..1
    """

    line: int
    label: str
    cut: bool
    points: tuple[Point, ...]


def parse_regions(text: str) -> list[Shape]:
    """The shapes that are typed in, one in each line, such as `1: rect 0 0, 0.5 1` or `1: not polygon 0 0, 1 0, 1 1`.

    Empty lines, and those that begin with #, say nothing.

    Raises:
        ValueError: a line says something else.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    return [_shape(number, line) for number, line in lines if line and not line.startswith(COMMENT)]


def _shape(number: int, line: str) -> Shape:
    match = LINE.fullmatch(line)
    if match is None:
        raise _unreadable(number, "form", quoted(line))
    label, cut, shape, rest = match["label"], match["cut"] is not None, match["shape"].lower(), match["numbers"]
    if shape not in ("rect", "polygon"):
        raise _unreadable(number, "shape", quoted(match["shape"]))
    values = [_part(number, word) for word in rest.replace(",", " ").split()]
    points = tuple(zip(values[::2], values[1::2]))
    if shape == "polygon":
        if len(values) < 6 or len(values) % 2:
            raise _unreadable(number, shape, len(values))
        return Shape(number, label, cut, points)
    if len(values) != 4:
        raise _unreadable(number, shape, len(values))
    ((left, top), (right, bottom)) = points
    if left == right or top == bottom:
        raise _unreadable(number, "area", "width" if left == right else "height")
    return Shape(number, label, cut, ((left, top), (right, top), (right, bottom), (left, bottom)))


def _part(line: int, word: str) -> float:
    if not NUMBER.fullmatch(word) or not 0 <= float(word) <= 1:
        raise _unreadable(line, "number", quoted(word))
    return float(word)


def _unreadable(line: int, problem: str, given: object) -> ValueError:
    return ValueError(f"Line {line} of the regions {PROBLEMS[problem].format(given=given)}.")


def shapes_of_each(shapes: Sequence[Shape], references: Mapping[int, str]) -> dict[int, list[Shape]]:
    """The shapes of each reference, by its number.

    references: their names by their numbers; labels are one or the other

    Raises:
        ValueError: there is no reference of this number or name.
    """
    numbers = {name: number for number, name in references.items()} | {str(number): number for number in references}
    found = dict[int, list[Shape]]()
    for shape in shapes:
        if shape.label not in numbers:
            known = ", ".join(f"{number} ({name})" for number, name in references.items())
            there_are = f"connected are {known}" if known else "no reference is connected"
            raise ValueError(
                f"Line {shape.line} of the regions is for reference {quoted(shape.label)}: {there_are}. Begin the line "
                "with a number or name of these, or connect the reference."
            )
        found.setdefault(numbers[shape.label], []).append(shape)
    return found


def drawn(shapes: Sequence[Shape], size: tuple[int, int]) -> torch.Tensor:
    """The mask of shapes, (1, H, W): how much of each pixel they cover. Holes are cut in the order of the shapes.

    If the first shape is a hole, it is cut into the whole picture.
    """
    height, width = (side * SAMPLES for side in size)
    inside = torch.full((height, width), bool(shapes) and shapes[0].cut)
    for shape in shapes:
        covered = _covered(shape.points, height, width)
        inside = inside & ~covered if shape.cut else inside | covered
    return F.avg_pool2d(inside.unsqueeze(0).float(), SAMPLES)


def _covered(points: Sequence[Point], height: int, width: int) -> torch.Tensor:
    """Whether the middle of each sample lies in a polygon: left of it, the outline passes an odd number of times."""
    x, y = ((torch.arange(count, dtype=torch.float64) + 0.5) / count for count in (width, height))
    inside = torch.zeros(height, width, dtype=torch.bool)
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]]):
        top, bottom = (int(end) for end in torch.searchsorted(y, torch.tensor([min(y1, y2), max(y1, y2)]).to(y)))
        if top < bottom:
            passes = x1 + (y[top:bottom] - y1) * ((x2 - x1) / (y2 - y1))
            inside[top:bottom] ^= passes.unsqueeze(1) <= x
    return inside
