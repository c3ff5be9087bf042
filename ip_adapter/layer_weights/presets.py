"""The table of presets of layer weights.

Those by sets of blocks fit the base models that have these sets. Those by depth fit every model: the first block to run
is at 0, the last one at 1, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from .curves import DEPTH_CURVES
from .divisions import depth
from .preset import PUSHED_AWAY, Cell, Preset


def _by_depth(curve: Callable[[float], float]) -> Preset:
    return Preset(besides=Cell(), along=lambda number, count: curve(depth(number, count)))


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "all": Preset(besides=Cell()),
        "style and composition": Preset({"style": Cell(), "composition": Cell(takes="composition")}),
        "style": Preset({"style": Cell()}),
        "strong style": Preset({"composition": Cell(0.0)}, besides=Cell()),
        "precise style": Preset({"style": Cell(), "composition": PUSHED_AWAY}),
        "composition": Preset({"composition": Cell()}),
        "first half": _by_depth(lambda x: float(x < 0.5)),
        "second half": _by_depth(lambda x: float(x >= 0.5)),
        "middle half": _by_depth(lambda x: float(0.25 <= x <= 0.75)),
        "falling": _by_depth(lambda x: 1.0 - x),
        "rising": _by_depth(DEPTH_CURVES["linear"]),
        "there and back": _by_depth(DEPTH_CURVES["there and back"]),
    }
)
