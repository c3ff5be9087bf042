"""Layer weights as values: a preset, a curve over depth, or numbers that are typed in."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..families.base_models import BASE_MODELS
from ..layers import Block
from ..strength import Share
from ..weight_text import quoted, weight
from .curves import DEPTH_CURVES
from .divisions import By, depth, divided, divisions, sizes
from .presets import PRESETS

BETWEEN = re.compile(r"\s*,\s*|\s*\n\s*")
INDEX = re.compile(r"\d{1,4}", re.ASCII)


class LayerWeights(ABC):
    """How much of an image prompt acts in each layer, for any model. A value: equal ones do the same."""

    @abstractmethod
    def shares(self, blocks: Sequence[Block], base_model: str) -> dict[Block, Share]:
        """The share of each layer that acts, in the order of execution; layers that are left out do not act.

        Args:
            blocks: all blocks of the model in which a layer can act
            base_model: its name, as in `BASE_MODELS`

        Raises:
            ValueError: these weights are for other models.
        """


@dataclass(frozen=True)
class PresetWeights(LayerWeights):
    """A row of `PRESETS`, by its name."""

    preset: str = "all"

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"There is no preset {quoted(self.preset)}: choose one of {', '.join(PRESETS)}.")

    def shares(self, blocks: Sequence[Block], base_model: str) -> dict[Block, Share]:
        preset = PRESETS[self.preset]
        if not preset.fits(base_model):
            named = [base.name for base in BASE_MODELS if preset.fits(base.name)]
            others = [name for name, each in PRESETS.items() if each.fits(base_model)]
            raise ValueError(
                f"The preset {self.preset!r} is for {', '.join(named)}, the model is {base_model}: choose "
                f"{', '.join(others)}, or a curve or values in Image Prompt Layer Weights."
            )
        return preset.shares(blocks, base_model)


@dataclass(frozen=True)
class CurveWeights(LayerWeights):
    """A curve over the depth of the model: its first block or layer has the weight `first`, and so on to `last`.

    curve: a key of `DEPTH_CURVES`
    by: what has one weight: every block, or every layer
    """

    curve: str = "linear"
    first: float = 1.0
    last: float = 0.0
    by: By = "blocks"

    def __post_init__(self) -> None:
        if self.curve not in DEPTH_CURVES:
            raise ValueError(f"There is no curve {quoted(self.curve)}: choose one of {', '.join(DEPTH_CURVES)}.")

    def shares(self, blocks: Sequence[Block], base_model: str) -> dict[Block, Share]:
        parts, curve = divided(blocks, self.by), DEPTH_CURVES[self.curve]
        way = [curve(depth(number, len(parts))) for number in range(len(parts))]
        return _shares(zip(parts, [self.first + (self.last - self.first) * x for x in way], strict=True))


@dataclass(frozen=True)
class ListedWeights(LayerWeights):
    """A list of weights: one for all, or for input, middle and output, or for each block, or for each layer.

    values: in the order of execution; how many there are says what they are for
    """

    values: tuple[float, ...]

    def shares(self, blocks: Sequence[Block], base_model: str) -> dict[Block, Share]:
        parts = next((each for each in divisions(blocks).values() if len(each) == len(self.values)), None)
        if parts is None:
            raise ValueError(
                f"There are {len(self.values)} layer weights, {base_model} takes {sizes(blocks)}: give as many, or "
                "single ones, such as 3:0.5, 6:1."
            )
        return _shares(zip(parts, self.values, strict=True))


@dataclass(frozen=True)
class IndexedWeights(LayerWeights):
    """Weights of single blocks or layers, all others do not act.

    values: (index, weight); the indices count from 0, in the order of execution
    by: what they count
    """

    values: tuple[tuple[int, float], ...]
    by: By = "blocks"

    def shares(self, blocks: Sequence[Block], base_model: str) -> dict[Block, Share]:
        parts = divided(blocks, self.by)
        if outside := [index for index, _ in self.values if index >= len(parts)]:
            counts = f"{len(divided(blocks, 'blocks'))} blocks with {len(blocks)} layers"
            raise ValueError(
                f"There is a weight for number {outside[0]} of the {self.by}, {base_model} has {counts}: number the "
                f"{self.by} from 0 to {len(parts) - 1}."
            )
        return _shares((parts[index], value) for index, value in sorted(self.values))


def parse_layer_weights(text: str, by: By = "blocks") -> LayerWeights:
    """Layer weights that are typed in: a list like `1, 0.5, 0`, or indices and weights like `3:0.5, 6:1`.

    by: what indices count

    Raises:
        ValueError: the text says something else, or one index twice.
    """
    words = BETWEEN.split(text.strip())
    if not any(":" in word for word in words):
        return ListedWeights(tuple(weight(word, f"Layer weight {n}") for n, word in enumerate(words, 1)))
    values: dict[int, float] = {}
    for word in words:
        index, colon, value = (part.strip() for part in word.partition(":"))
        if not colon or not INDEX.fullmatch(index):
            raise ValueError(
                f"{quoted(word)} is not number:weight, such as 3:0.5: the numbers of the {by} begin at 0, and either "
                "all weights have a number or none has."
            )
        if int(index) in values:
            raise ValueError(f"Number {int(index)} of the {by} has two layer weights: give one for each.")
        values[int(index)] = weight(value, f"The layer weight of number {int(index)}")
    return IndexedWeights(tuple(values.items()), by)


def _shares(weights: Iterable[tuple[Iterable[Block], float]]) -> dict[Block, Share]:
    """The shares of layers that have these weights; 0 leaves a layer out."""
    return {layer: Share(value) for layers, value in weights for layer in layers if value}
