"""What a preset of layer weights is: for sets of blocks, how much of the weight they get, and in which rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..families.base_models import LAYER_SETS
from ..families.layer_sets import BlockName, LayerSets
from ..layers import Block, by_name
from ..strength import Share

Taken = Literal["weight", "composition", "boost"]  # which of the weights of `Preset.shares`


@dataclass(frozen=True)
class Cell:
    """What the layers of a set of blocks get: so much of one of the weights, in these rows of a call (see `Share`)."""

    factor: float = 1.0
    takes: Taken = "weight"
    rows: Literal["own", "opposite"] = "own"


@dataclass(frozen=True, eq=False)
class Preset:
    """How much of an image prompt acts in each layer, by the name of sets of blocks.

    cells: {set of blocks: what its layers get}
    besides: what the layers of all other blocks get; None: they do not act
    along: factor on the weights, as a function of the number of a block, in the order of execution, and of how many
        blocks there are
    sets: {base model: its sets of blocks}
    """

    cells: Mapping[str, Cell] = field(default_factory=dict[str, Cell])
    besides: Cell | None = None
    along: Callable[[int, int], float] = lambda number, count: 1.0
    sets: Mapping[str, LayerSets] = field(default_factory=lambda: LAYER_SETS)

    def fits(self, base_model: str) -> bool:
        """Whether the base model has the sets of blocks that it names."""
        return base_model in self.sets and set(self.cells) <= set(self.sets[base_model])

    def shares(
        self,
        blocks: Iterable[Block],
        base_model: str,
        weight: float = 1.0,
        composition: float = 1.0,
        boost: float = 1.0,
    ) -> dict[Block, Share]:
        """The share of every layer that acts, in the order of execution.

        Args:
            blocks: all blocks of the model in which a layer can act
            base_model: one that it fits
            weight, composition, boost: the weights that the cells take
        """
        weights: Mapping[Taken, float] = {"weight": weight, "composition": composition, "boost": boost}
        named, shares = by_name(blocks), dict[Block, Share]()
        for number, (name, layers) in enumerate(named.items()):
            cell = self._cell(name, self.sets[base_model])
            amount = weights[cell.takes] * cell.factor * self.along(number, len(named)) if cell else 0.0
            if cell and amount:
                shares |= dict.fromkeys(layers, Share(amount, cell.rows))
        return shares

    def _cell(self, name: BlockName, sets: LayerSets) -> Cell | None:
        found = ((cell, sets[key]) for key, cell in self.cells.items())
        return next((cell for cell, names in found if names is None or name in names), self.besides)


PUSHED_AWAY = Cell(takes="boost", rows="opposite")
