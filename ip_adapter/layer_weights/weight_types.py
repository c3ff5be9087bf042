"""The weight types of cubiq/ComfyUI_IPAdapter_plus as presets, for graphs that were saved with them.

Letters: t number of a block in the order of execution, n how many there are, r = t / n. Its middle block never acts,
and its blocks of SD1.5 are other ones than ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        "composition of SDXL": places("input", 8),
    }
)
SETS: Mapping[str, LayerSets] = MappingProxyType({"SD1.5": SD15, "SDXL": SDXL, "Kolors": SDXL})


def _row(cells: Mapping[str, Cell], along: Callable[[float], float] = lambda _: 1.0) -> Preset:
    return Preset(cells, along=along, sets=SETS, offered=False)


def _all(along: Callable[[float], float] = lambda _: 1.0) -> Preset:
    return _row({"input": Cell(), "output": Cell()}, along)


WEIGHT_TYPES: Mapping[str, Preset] = MappingProxyType(
    {
        "linear": _all(),
        "ease in": _all(lambda r: 0.05 + 0.95 * (1.0 - r)),
        "ease out": _all(lambda r: 0.05 + 0.95 * r),
        "ease in-out": _all(lambda r: 0.05 + 0.95 * (1.0 - abs(2.0 * r - 1.0))),
        "reverse in-out": _all(lambda r: 0.05 + 0.95 * abs(2.0 * r - 1.0)),
        "weak input": _row({"input": Cell(0.2), "output": Cell()}),
        "weak output": _row({"input": Cell(), "output": Cell(0.2)}),
        "weak middle": _all(),  # it names the middle block alone, which does not act
        "strong middle": _all(lambda _: 0.2),
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
            {"composition of SDXL": Cell(takes="composition"), "input": Cell(), "output": Cell()}
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
