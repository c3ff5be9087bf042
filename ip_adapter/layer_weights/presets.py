"""The table of presets of layer weights: our own, and the weight types of another node pack."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .preset import PUSHED_AWAY, Cell, Preset
from .weight_types import WEIGHT_TYPES

WEIGHT_TYPE = "weight type "  # put before the names of weight types, two of which are also names of ours

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "all": Preset(besides=Cell()),
        "style and composition": Preset({"style": Cell(), "composition": Cell(takes="composition")}),
        "style": Preset({"style": Cell()}),
        "strong style": Preset({"composition": Cell(0.0)}, besides=Cell()),
        "precise style": Preset({"style": Cell(), "composition": PUSHED_AWAY}),
        "composition": Preset({"composition": Cell()}),
        **{WEIGHT_TYPE + name: preset for name, preset in WEIGHT_TYPES.items()},
    }
)

OFFERED_PRESETS = tuple(name for name, preset in PRESETS.items() if preset.offered)
