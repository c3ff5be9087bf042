"""The table of presets of layer weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .preset import PUSHED_AWAY, Cell, Preset

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "all": Preset(besides=Cell()),
        "style and composition": Preset({"style": Cell(), "composition": Cell(takes="composition")}),
        "style": Preset({"style": Cell()}),
        "strong style": Preset({"composition": Cell(0.0)}, besides=Cell()),
        "precise style": Preset({"style": Cell(), "composition": PUSHED_AWAY}),
        "composition": Preset({"composition": Cell()}),
    }
)
