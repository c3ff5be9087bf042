"""In which blocks of a model the layers of adapters act: those of one model may act in different ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..families import APPLIED, Acts, Family
from ..families.kinds import Kind
from ..layers import Block, acting_blocks

Where = tuple[Acts, frozenset[tuple[Kind, int]]]


@dataclass(frozen=True)
class Acting:
    """Where adapters of some families act in a model.

    title: the model, and the families if there are others for it which act elsewhere
    acts, every: as `Family.acts` and `Family.blocks`
    """

    title: str
    acts: Acts
    every: Mapping[Kind, int]

    def among(self, blocks: Iterable[Block]) -> Sequence[Block]:
        """Those of the blocks in which they act."""
        return acting_blocks(blocks, self.every)


def acting_in(base_model: str, families: Iterable[Family] = APPLIED) -> list[Acting]:
    """Everything that adapters for a model do, each once, without the families that have layer sets of their own."""
    found: dict[Where, list[str]] = {}
    for family in families:
        if not family.layer_sets and any(base.name == base_model for base in family.works_on):
            found.setdefault((family.acts, frozenset(family.blocks.items())), []).append(family.name)
    titles = [f"{base_model} ({', '.join(names)})" if len(found) > 1 else base_model for names in found.values()]
    return [Acting(title, acts, dict(every)) for title, (acts, every) in zip(titles, found, strict=True)]
