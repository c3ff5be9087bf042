"""How strongly an image prompt acts: its weight, in which layers, in which rows of a call, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Side = Literal["cond", "uncond"]


@dataclass(frozen=True)
class Share:
    """What one layer takes of an image prompt.

    amount: of the weight
    rows: "own": the positive rows of a call attend to the references, the negative rows to the negative image.
        "opposite": the negative rows attend to the references and the positive rows to nothing, so that guidance
        pushes away from them (the precise kinds of style and composition transfer)
    """

    amount: float = 1.0
    rows: Literal["own", "opposite"] = "own"

    def side(self, negative: bool) -> Side | None:
        """Whose tokens the rows attend to: those of the references, of the negative image, or none."""
        if self.rows == "own":
            return "uncond" if negative else "cond"
        return "cond" if negative else None


OWN = Share()


@dataclass(frozen=True)
class Course:
    """The part of sampling in which an image prompt acts: from `start` to `end`, 0 to 1, the end not included."""

    start: float = 0.0
    end: float = 1.0

    @property
    def ends(self) -> tuple[float, float]:
        return self.start, self.end


ALWAYS = Course()


@dataclass(frozen=True)
class Strength:
    """weight: any sign. layers: by the adapter's layer numbers; None for all alike, and those left out do not act."""

    weight: float = 1.0
    layers: Mapping[int, Share] | None = None
    course: Course = ALWAYS

    @property
    def is_nothing(self) -> bool:
        return self.weight == 0.0 or self.course.start >= self.course.end

    def share(self, layer: int) -> Share | None:
        share = OWN if self.layers is None else self.layers.get(layer)
        return share if share and share.amount else None

    def at(self, layer: int) -> float:
        """The weight in a layer."""
        share = self.share(layer)
        return self.weight * share.amount if share else 0.0
