"""How strongly an image prompt acts: its weight, in which layers, in which rows of a call, and when."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .scaling import ScalingName

Side = Literal["cond", "uncond"]


@dataclass(frozen=True)
class Share:
    """How much of an image prompt acts in one layer, and in which rows.

    amount: factor on the weight
    rows: "own": the positive rows of a call attend to the references, the negative rows to the negative image.
        "opposite": the negative rows attend to the references and the positive rows to nothing, so that guidance
        pushes away from them (the precise weight types of cubiq/ComfyUI_IPAdapter_plus).
        "all": the negative rows attend to the references too, as in packs for Flux
    """

    amount: float = 1.0
    rows: Literal["own", "opposite", "all"] = "own"

    def side(self, negative: bool) -> Side | None:
        """Whose tokens the positive or the negative rows attend to: "cond", "uncond", or None for nobody's.

        negative: whether the rows are the negative ones
        """
        if self.rows == "all":
            return "cond"
        if self.rows == "own":
            return "uncond" if negative else "cond"
        return "cond" if negative else None


OWN = Share()


Curve = Literal["linear", "hold", "ease in", "ease out", "ease in-out"]

CURVES: Mapping[Curve, Callable[[float], float]] = MappingProxyType(  # the way from 0 to 1, as a function on 0..1
    {
        "linear": lambda x: x,
        "hold": lambda _: 0.0,
        "ease in": lambda x: x * x,
        "ease out": lambda x: x * (2.0 - x),
        "ease in-out": lambda x: x * x * (3.0 - 2.0 * x),
    }
)


@dataclass(frozen=True)
class Keyframe:
    """A factor on the weight at one point of sampling.

    progress: from 0 (first step) to 1 (after the last step)
    factor: of any sign
    curve: how the factor gets from here to that of the next keyframe, a key of `CURVES`
    """

    progress: float
    factor: float
    curve: Curve = "linear"


@dataclass(frozen=True)
class Course:
    """When an image prompt acts, and how strongly: from `start` to before `end`, both from 0 to 1.

    keyframes: factors on the weight, in the order of their progress; none: it acts in full. Before the first and after
        the last one, their factors hold
    closed: whether it acts at `end` as well
    steps: factors on the weight besides, of the first step between `start` and `end`, of the second and so on, however
        far they are apart. The last one holds
    counts: what `start` and `end` are parts of: of "sampling", as ComfyUI counts percents, or of the way of "sigma"
        from 1 to 0, which only flow models have
    """

    start: float = 0.0
    end: float = 1.0
    keyframes: tuple[Keyframe, ...] = ()
    closed: bool = False
    steps: tuple[float, ...] = ()
    counts: Literal["sampling", "sigma"] = "sampling"

    @property
    def ends(self) -> tuple[float, float]:
        return self.start, self.end

    @property
    def is_nothing(self) -> bool:
        """Whether it never acts."""
        empty = self.start > self.end if self.closed else self.start >= self.end
        zeros = bool(self.keyframes) and not any(each.factor for each in self.keyframes)
        return empty or zeros or bool(self.steps) and not any(self.steps)

    @property
    def is_constant(self) -> bool:
        """Whether it acts at all times in full."""
        return self.ends == (0.0, 1.0) and not self.keyframes and not self.steps

    @property
    def largest(self) -> float:
        """The largest size of its factors."""
        largest = max((abs(each.factor) for each in self.keyframes), default=1.0)
        return largest * max(map(abs, self.steps), default=1.0)

    def at(self, progress: float) -> float:
        """The factor on the weight at a point of sampling between `start` and `end`."""
        if not self.keyframes:
            return 1.0
        number = bisect.bisect_right([each.progress for each in self.keyframes], progress)
        if number == 0:
            return self.keyframes[0].factor
        last = self.keyframes[number - 1]
        if number == len(self.keyframes):
            return last.factor
        following = self.keyframes[number]
        way = (progress - last.progress) / (following.progress - last.progress)
        return last.factor + (following.factor - last.factor) * CURVES[last.curve](way)

    def at_step(self, number: int) -> float:
        """The factor on the weight besides. number: of the step between `start` and `end`, from 0"""
        return self.steps[min(number, len(self.steps) - 1)] if self.steps else 1.0


ALWAYS = Course()


@dataclass(frozen=True)
class Frame:
    """What is different for one picture of a batch: a factor on the weight, and a course besides that of all."""

    weight: float = 1.0
    course: Course = ALWAYS

    @property
    def is_nothing(self) -> bool:
        """Whether nothing acts in this picture."""
        return self.weight == 0.0 or self.course.is_nothing


@dataclass(frozen=True)
class Strength:
    """How strongly an image prompt acts, in which layers, and when.

    weight: the factor on its attention, of any sign
    layers: {number of the adapter's layer: its share}; layers that are left out do not act. None: all act in full
    course: the part of sampling in which it acts, and how strongly
    frames: what is different for each picture of a batch; empty: nothing
    scaling: what of the keys and values takes the weight, a key of `SCALINGS`
    """

    weight: float = 1.0
    layers: Mapping[int, Share] | None = None
    course: Course = ALWAYS
    frames: tuple[Frame, ...] = ()
    scaling: ScalingName = "V only"

    @property
    def is_nothing(self) -> bool:
        """Whether nothing acts at all: the weight is 0, no layer or picture has a share, or it never acts."""
        no_layer = self.layers is not None and not any(share.amount for share in self.layers.values())
        no_frame = bool(self.frames) and all(frame.is_nothing for frame in self.frames)
        return self.weight == 0.0 or self.course.is_nothing or no_layer or no_frame

    @property
    def largest(self) -> float:
        """The largest size that the weight has in any layer, step and picture."""
        shares = [1.0] if self.layers is None else [abs(share.amount) for share in self.layers.values()]
        frames = [abs(frame.weight) * frame.course.largest for frame in self.frames]
        return abs(self.weight) * max(shares, default=0.0) * self.course.largest * max(frames, default=1.0)

    def share(self, layer: int) -> Share | None:
        """The share of a layer; None if it does not act there."""
        share = OWN if self.layers is None else self.layers.get(layer)
        return share if share and share.amount else None

    def at(self, layer: int) -> float:
        """The weight in a layer: 0 if it does not act there."""
        share = self.share(layer)
        return self.weight * share.amount if share else 0.0
