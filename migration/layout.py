"""Places for new nodes of a workflow: near the node that they stand for, and on top of none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .our_nodes import OurNode

TITLE, SLOT, WIDGET, LINE = 30, 20, 26, 20  # heights in pixels, a little more than the browser draws
WIDTH, GAP = 300, 20
STEP_X, STEP_Y = WIDTH + 2 * GAP, 60
REACH = 12  # steps in each direction, before a node is put below all others


@dataclass(frozen=True)
class Box:
    """What a node or a group covers, with its title."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: Box) -> bool:
        beside = self.x + self.width <= other.x or other.x + other.width <= self.x
        return not (beside or self.y + self.height <= other.y or other.y + other.height <= self.y)

    def holds(self, other: Box) -> bool:
        right, bottom = other.x + other.width, other.y + other.height
        across = self.x <= other.x and right <= self.x + self.width
        return across and self.y <= other.y and bottom <= self.y + self.height

    def around(self, other: Box, gap: float = GAP) -> Box:
        """The smallest box that holds both, with a gap around the other."""
        x, y = min(self.x, other.x - gap), min(self.y, other.y - gap)
        right = max(self.x + self.width, other.x + other.width + gap)
        return Box(x, y, right - x, max(self.y + self.height, other.y + other.height + gap) - y)


def node_box(x: float, y: float, width: float, height: float) -> Box:
    """What a node covers, of which a workflow has the place and size without the title."""
    return Box(x, y - TITLE, width, height + TITLE)


def height_of(kind: OurNode, sockets: int) -> float:
    """How high a node of ours is drawn.

    sockets: how many it has in this workflow
    """
    return SLOT * max(sockets, len(kind.outputs)) + WIDGET * len(kind.widgets) + LINE * kind.tall + 16


def free_place(wanted: Box, taken: Sequence[Box], inside: Box | None) -> Box:
    """A box of the size of `wanted`, as near to it as possible, that meets none of the others.

    inside: where to look first
    """
    around = [*_around(wanted)]
    within = [box for box in around if inside and inside.holds(box)]
    return next((box for box in [*within, *around] if _is_free(_spread(box), taken)), None) or _below(wanted, taken)


def _is_free(box: Box, taken: Iterable[Box]) -> bool:
    return not any(box.meets(other) for other in taken)


def _spread(box: Box) -> Box:
    return Box(box.x - GAP, box.y - GAP, box.width + 2 * GAP, box.height + 2 * GAP)


def _around(box: Box) -> Iterator[Box]:
    """The box itself, and then boxes further and further away, of which those to the left come first."""
    steps = range(-REACH, REACH + 1)
    moves = sorted(((dx, dy) for dx in steps for dy in steps), key=lambda move: (_far(*move), move))
    return (Box(box.x + dx * STEP_X, box.y + dy * STEP_Y, box.width, box.height) for dx, dy in moves)


def _far(dx: int, dy: int) -> float:
    return abs(dx) * STEP_X + abs(dy) * STEP_Y + (STEP_X / 2 if dx > 0 else 0)


def _below(box: Box, taken: Iterable[Box]) -> Box:
    return Box(box.x, max(each.y + each.height for each in taken) + GAP, box.width, box.height)
