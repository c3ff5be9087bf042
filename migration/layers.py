"""The weight types of the other pack, in words and numbers of Image Prompt Layer Weights.

Letters: t number of a block in the order of execution, n how many there are, r = t / n. There the middle block does not
act. Here it does, where a weight type is for all blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from .graph import Stays

Base = Literal["SD1.5", "SDXL"]
BASES: tuple[Base, ...] = ("SD1.5", "SDXL")
BLOCKS: Mapping[Base, int] = {"SD1.5": 16, "SDXL": 11}
LIMIT = 5.0  # of weights, in both directions

OLD_NAMES: Mapping[str, str] = {
    "standard": "linear",
    "prompt is more important": "ease out",
    "style transfer (SDXL)": "style transfer",
    "style transfer (SDXL only)": "style transfer",
    "composition (SDXL)": "composition",
    "style transfer and composition": "style and composition",
}
THIRDS: Mapping[str, str] = {  # one number for all blocks, or numbers for the input blocks, the middle and the output
    "weak input": "0.2, 1, 1",
    "weak middle": "1, 0.2, 1",
    "weak output": "1, 1, 0.2",
    "strong middle": "0.2",
}
CURVES: Mapping[str, Callable[[float], float]] = {
    "ease in": lambda r: 0.05 + 0.95 * (1.0 - r),
    "ease out": lambda r: 0.05 + 0.95 * r,
    "ease in-out": lambda r: 0.05 + 0.95 * (1.0 - abs(2.0 * r - 1.0)),
    "reverse in-out": lambda r: 0.05 + 0.95 * abs(2.0 * r - 1.0),
}
STYLE: Mapping[Base, tuple[int, ...]] = {"SD1.5": (*range(4), *range(9, 16)), "SDXL": (6,)}
STRONG: Mapping[Base, tuple[int, ...]] = {"SD1.5": (*range(4), *range(7, 16)), "SDXL": (0, 1, 2, *range(5, 11))}
COMPOSITION: Mapping[Base, Mapping[int, float]] = {"SD1.5": {4: 0.25, 5: 1.0}, "SDXL": {3: 1.0}}
PRESETS: Mapping[str, str] = {"style transfer": "style", "composition": "composition"}  # of SDXL: the same blocks


@dataclass(frozen=True)
class Layers:
    """Where a reference acts: by a preset, or by values that are typed in.

    in_middle: whether it acts in the middle block, in which it did not act before
    """

    preset: str = "all"
    values: str = ""
    in_middle: bool = False


def layers_of(weight_type: str, base: Base | None, weight: object, boost: object) -> Layers:
    """What says the same as a weight type.

    base: the model; None: it is not known
    weight: the weight of the node, of which the composition has a share of its own; a link or a number
    boost: the weight that the precise types push away with

    Raises:
        Stays: nothing does.
    """
    name = OLD_NAMES.get(weight_type, weight_type)
    if name == "linear":
        return Layers(in_middle=True)
    if name in THIRDS:
        return Layers("values", THIRDS[name], in_middle=True)
    if name == "style transfer precise":
        if boost == 0:
            name = "style transfer"
        elif _known(base, name) == "SDXL" and boost == weight:
            return Layers("precise style")
        else:
            raise Stays("It pushes the composition away in blocks, or with a weight, that Layer Weights cannot say.")
    if name == "composition precise":
        if boost != 0:
            raise Stays("It pushes the style away with a weight of its own, which Layer Weights cannot say.")
        name = "composition"
    base = _known(base, name)
    if name in CURVES:
        numbers = [CURVES[name](t / BLOCKS[base]) for t in range(BLOCKS[base])]
        return Layers("values", ", ".join(map(_written, numbers)), in_middle=True)
    if base == "SDXL" and name in PRESETS:
        return Layers(PRESETS[name])
    if name not in LISTS:
        raise Stays(f"Its weight_type {name!r:.60} is not known.")
    return Layers("values", _indexed(LISTS[name](base, weight)))


def _known(base: Base | None, name: str) -> Base:
    if base is None:
        raise Stays(
            f"Its weight type {name!r} has other blocks in SD1.5 than in SDXL, and neither the name of the adapter nor "
            "that of the checkpoint says which it is: give --base SD1.5 or --base SDXL."
        )
    return base


def _style(base: Base, _: object) -> dict[int, float]:
    return dict.fromkeys(STYLE[base], 1.0)


def _both(base: Base, weight: object) -> dict[int, float]:
    """The composition has the weight 1 there, whatever the weight of the style: so it gets its share of that."""
    if not isinstance(weight, int | float) or not weight or abs(1.0 / weight) > LIMIT:
        raise Stays("Its composition has the weight 1, and its own weight is linked or too small to say that by it.")
    return _style(base, weight) | {t: factor / weight for t, factor in COMPOSITION[base].items()}


LISTS: Mapping[str, Callable[[Base, object], Mapping[int, float]]] = {  # all other blocks do not act
    "style transfer": _style,
    "composition": lambda base, _: COMPOSITION[base],
    "strong style transfer": lambda base, _: dict.fromkeys(STRONG[base], 1.0),
    "style and composition": _both,
}
ENTRY = re.compile(r"\s*([+-]?\d{1,9})\s*:\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s*", re.ASCII | re.IGNORECASE)


def listed_layers(text: str, base: Base | None) -> Layers:
    """What says the same as `layer_weights`, a text like "0:1, 3:0.5" in which the last entry for a block counts.

    Raises:
        Stays: it is no such text.
    """
    values = dict[int, float]()
    for entry in text.split(","):
        found = ENTRY.fullmatch(entry)
        if not found or abs(float(found[2])) > LIMIT:
            raise Stays(f"Its layer_weights have the part {entry.strip()!r:.60}: Layer Weights take 3:0.5, up to 5.")
        values[int(found[1])] = float(found[2])
    count = BLOCKS[base or "SD1.5"]
    if base is None and any(BLOCKS["SDXL"] <= t < count for t in values):
        _known(base, "layer_weights")
    known = {t: value for t, value in values.items() if 0 <= t < count}
    if not known:
        raise Stays("Its layer_weights name no block that there is, so that it does nothing.")
    middle = 4 if base == "SDXL" else 6
    return Layers("values", _indexed(known), in_middle=bool(known.get(middle)))


def _indexed(values: Mapping[int, float]) -> str:
    return ", ".join(f"{t}:{_written(values[t])}" for t in sorted(values))


def _written(value: float) -> str:
    return f"{round(value, 6):g}"
