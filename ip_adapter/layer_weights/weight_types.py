"""The weight types of cubiq/ComfyUI_IPAdapter_plus as presets, for graphs that were saved with them.

Letters: t number of a block in the order of execution, n how many there are, r = t / n. Its blocks of SD1.5 are other
ones than ours. Its middle block has not acted since September 2024, and did before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from ..families.layer_sets import LayerSets, places
from .preset import PUSHED_AWAY, Cell, Preset

SD15: LayerSets = MappingProxyType(
    {
        "input": places("input", 1, 2, 4, 5, 7, 8),
        "output": places("output", 3, 4, 5, 6, 7, 8, 9, 10, 11),
        "style": places("input", 1, 2, 4, 5) | places("output", 5, 6, 7, 8, 9, 10, 11),
        "composition": places("input", 8),
        "faint composition": places("input", 7),
        "others": places("output", 3, 4),
        "middle": frozenset(),
        "composition of SDXL": frozenset(),
    }
)
SDXL: LayerSets = MappingProxyType(
    {
        "input": places("input", 4, 5, 7, 8),
        "output": places("output", 0, 1, 2, 3, 4, 5),
        "style": places("output", 1),
        "composition": places("input", 8),
        "faint composition": frozenset(),
        "others": places("input", 4, 5, 7) | places("output", 0, 2, 3, 4, 5),
        "middle": frozenset(),
        "composition of SDXL": places("input", 8),
    }
)
SETS: Mapping[str, LayerSets] = MappingProxyType({"SD1.5": SD15, "SDXL": SDXL, "Kolors": SDXL})
MIDDLE = places("middle", 0)


def _row(cells: Mapping[str, Cell], along: Callable[[float], float] = lambda _: 1.0) -> Preset:
    return Preset(cells, along=lambda t, n: along(t / n), sets=SETS)


def _all(along: Callable[[float], float] = lambda _: 1.0) -> Preset:
    return _row({"input": Cell(), "output": Cell(), "middle": Cell()}, along)


WEIGHT_TYPES: Mapping[str, Preset] = MappingProxyType(
    {
        "linear": _all(),
        "ease in": _all(lambda r: 0.05 + 0.95 * (1.0 - r)),
        "ease out": _all(lambda r: 0.05 + 0.95 * r),
        "ease in-out": _all(lambda r: 0.05 + 0.95 * (1.0 - abs(2.0 * r - 1.0))),
        "reverse in-out": _all(lambda r: 0.05 + 0.95 * abs(2.0 * r - 1.0)),
        "weak input": _row({"input": Cell(0.2), "output": Cell(), "middle": Cell()}),
        "weak output": _row({"input": Cell(), "output": Cell(0.2), "middle": Cell()}),
        "weak middle": _row({"input": Cell(), "output": Cell(), "middle": Cell(0.2)}),  # linear without the middle
        "strong middle": _row({"input": Cell(0.2), "output": Cell(0.2), "middle": Cell()}),
        "style transfer": _row({"style": Cell()}),
        "composition": _row({"composition": Cell(), "faint composition": Cell(0.25)}),
        "strong style transfer": _row({"style": Cell(), "others": Cell()}),
        "style and composition": _row(
            {
                "style": Cell(),
                "composition": Cell(takes="composition"),
                "faint composition": Cell(0.25, takes="composition"),
            }
        ),
        "strong style and composition": _row(  # SD1.5 knows no such weight type, and takes the weight everywhere
            {
                "composition of SDXL": Cell(takes="composition"),
                "input": Cell(),
                "output": Cell(),
                "middle": Cell(),
            }
        ),
        "style transfer precise": _row(
            {
                "style": Cell(),
                "composition": PUSHED_AWAY,
                "faint composition": Cell(0.25, takes="boost", rows="opposite"),
            }
        ),
        "composition precise": _row(
            {
                "composition": Cell(),
                "faint composition": Cell(0.25),
                "style": PUSHED_AWAY,
                "others": Cell(0.1, takes="boost", rows="opposite"),
            }
        ),
    }
)


def _with_middle(sets: LayerSets) -> LayerSets:
    return MappingProxyType({**sets, "middle": MIDDLE, "others": frozenset(sets["others"] or ()) | MIDDLE})


SETS_WITH_MIDDLE: Mapping[str, LayerSets] = MappingProxyType({base: _with_middle(sets) for base, sets in SETS.items()})


def weight_type(name: str, *, middle: bool = False) -> Preset:
    """The preset of a weight type.

    name: a key of `WEIGHT_TYPES`
    middle: whether the middle block acts too
    """
    preset = WEIGHT_TYPES[name]
    return replace(preset, sets=SETS_WITH_MIDDLE) if middle else preset
