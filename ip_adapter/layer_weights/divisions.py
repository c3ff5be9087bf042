"""Divide the layers of a model into parts that take one weight each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from ..layers import Block, by_name

By = Literal["blocks", "layers"]
Parts = Sequence[Sequence[Block]]


def depth(number: int, count: int) -> float:
    """How deep the part of this number is, of so many: 0 for the first to run, 1 for the last."""
    return number / max(count - 1, 1)


def divided(blocks: Iterable[Block], by: By) -> list[list[Block]]:
    """The layers of each block, or each layer for itself, in the order of execution."""
    named = list(by_name(blocks).values())
    return named if by == "blocks" else [[layer] for layers in named for layer in layers]


def divisions(blocks: Sequence[Block]) -> dict[str, Parts]:
    """Every way in which weights can be listed for the model: {for what there is one weight: parts of the layers}."""
    found: dict[str, Parts] = {"for all": [blocks]}
    kinds = list(dict.fromkeys(kind for kind, _ in by_name(blocks)))  # in the order of execution
    if len(kinds) > 1:
        words = f"for {', '.join(kinds[:-1])} and {kinds[-1]}"
        found[words] = [[block for block in blocks if block.kind == kind] for kind in kinds]
    found["one for each block"] = divided(blocks, "blocks")
    if len(found["one for each block"]) < len(blocks):
        found["one for each layer"] = divided(blocks, "layers")
    return found


def sizes(blocks: Sequence[Block]) -> str:
    """How many weights can be listed for the model, in words."""
    words = [f"{len(parts)} ({what})" for what, parts in divisions(blocks).items()]
    return f"{', '.join(words[:-1])} or {words[-1]}"
