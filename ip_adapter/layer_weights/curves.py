"""Curves over the depth of a model, which fit any number of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..strength import CURVES

_smooth = CURVES["ease in-out"]


def _there_and_back(x: float) -> float:
    return 1.0 - abs(2.0 * x - 1.0)


DEPTH_CURVES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {  # the way from the first weight (0) to the last (1), as a function of depth, from 0 (first to run) to 1 (last)
        "linear": CURVES["linear"],
        "ease in": CURVES["ease in"],
        "ease out": CURVES["ease out"],
        "ease in-out": CURVES["ease in-out"],
        "ease out-in": lambda x: 0.5 + 4.0 * (x - 0.5) ** 3,
        "there and back": _there_and_back,
        "smooth there and back": lambda x: _smooth(_there_and_back(x)),
    }
)
