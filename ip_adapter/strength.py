"""How strongly an image prompt acts: its weight, in which layers, in which rows of a call, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Side = Literal["cond", "uncond"]


@dataclass(frozen=True)
class Share:
    """How much of an image prompt acts in one layer, and in which rows.

    amount: factor on the weight
    rows: "own": the positive rows of a call attend to the references, the negative rows to the negative image.
        "opposite": the negative rows attend to the references and the positive rows to nothing, so that guidance
        pushes away from them (the precise weight types of cubiq/ComfyUI_IPAdapter_plus)
    """

    amount: float = 1.0
    rows: Literal["own", "opposite"] = "own"

    def side(self, negative: bool) -> Side | None:
        """Whose tokens the positive or the negative rows attend to: "cond", "uncond", or None for nobody's.

        negative: whether the rows are the negative ones
        """
        if self.rows == "own":
            return "uncond" if negative else "cond"
        return "cond" if negative else None


OWN = Share()


@dataclass(frozen=True)
class Course:
    """The part of sampling in which an image prompt acts: from `start` to before `end`, both from 0 to 1."""

    start: float = 0.0
    end: float = 1.0

    @property
    def ends(self) -> tuple[float, float]:
        return self.start, self.end


ALWAYS = Course()


@dataclass(frozen=True)
class Strength:
    """How strongly an image prompt acts, in which layers, and when.

    weight: the factor on its attention, of any sign
    layers: {number of the adapter's layer: its share}; layers that are left out do not act. None: all act in full
    course: the part of sampling in which it acts
    """

    weight: float = 1.0
    layers: Mapping[int, Share] | None = None
    course: Course = ALWAYS

    @property
    def is_nothing(self) -> bool:
        """Whether the weight is 0 or the course is empty, so that nothing acts at all."""
        return self.weight == 0.0 or self.course.start >= self.course.end

    def share(self, layer: int) -> Share | None:
        """The share of a layer; None if it does not act there."""
        share = OWN if self.layers is None else self.layers.get(layer)
        return share if share and share.amount else None

    def at(self, layer: int) -> float:
        """The weight in a layer: 0 if it does not act there."""
        share = self.share(layer)
        return self.weight * share.amount if share else 0.0
