"""Match each layer of an adapter with a block of the model.

In UNets the blocks are the cross-attentions. The training code walks through the down blocks, the up blocks and the
middle block *last*, and files number their layers in that order, not in the order of execution (diffusers
`UNet2DConditionModel.attn_processors`). In transformers they are whole blocks, in the order of execution.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .families.base_models import BASE_MODELS, LAYER_SETS, BaseModel
from .families.family import UNET_BLOCKS
from .families.kinds import KINDS, Kind
from .families.layer_sets import BlockName

EXECUTED: tuple[Kind, ...] = ("input", "middle", "output", *KINDS[3:])
DIFFUSERS_KINDS = ("down_blocks", "up_blocks", "mid_block")


@dataclass(frozen=True)
class Block:
    """A block of the model in which one layer of an adapter can act.

    In a UNet it is the cross-attention in transformer block `depth` of block `index` of its kind. In a transformer it
    is block `index` of its kind, and `depth` is 0.

    width: inner width of its attention
    """

    kind: Kind
    index: int
    depth: int
    width: int


def file_order(paths: Iterable[str]) -> list[str]:
    """Paths such as `up_blocks.1.attentions.0.transformer_blocks.0.attn2` in the order that files number them."""
    return sorted(paths, key=lambda path: (DIFFUSERS_KINDS.index(path.split(".")[0]), _numbers(path)))


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\.(\d+)(?=\.|$)", path)]


def in_file_order(blocks: Iterable[Block]) -> list[Block]:
    """Blocks in the order in which files number their layers."""
    return sorted(blocks, key=lambda block: (KINDS.index(block.kind), block.index, block.depth))


def acting_blocks(blocks: Iterable[Block], every: Mapping[Kind, int]) -> list[Block]:
    """The blocks in which an adapter acts, in the order of its file. every: as `Family.blocks`"""
    return [block for block in in_file_order(blocks) if block.kind in every and block.index % every[block.kind] == 0]


def match_layers(
    blocks: Sequence[Block], layer_widths: Sequence[int], every: Mapping[Kind, int] = UNET_BLOCKS
) -> dict[Block, int]:
    """The number of the adapter's layer for every block in which it acts, in the order of the file.

    Args:
        blocks: the blocks of the model, in any order
        layer_widths: as `IPAdapter.layer_widths`
        every: the kinds of blocks in which it acts, and the every how manieth of them, as `Family.blocks`

    Raises:
        ValueError: the numbers of layers or their widths differ. The message names the likely cause.
    """
    acting = acting_blocks(blocks, every)
    if len(acting) != len(layer_widths):
        raise ValueError(
            f"The adapter has {len(layer_widths)} layers{_made_for(len(layer_widths))}, this model has {len(acting)} "
            f"{_plural(acting)}{_made_for(len(acting))}: choose an adapter made for this model."
        )
    for layer, (block, width) in enumerate(zip(acting, layer_widths, strict=True)):
        if block.width != width:
            raise ValueError(
                f"Layer {layer} of the adapter is {width} wide, {block.kind} block {block.index} of this model is "
                f"{block.width}: the adapter was made for a model of another size."
            )
    return {block: layer for layer, block in enumerate(acting)}


def select_layers(layers: Mapping[Block, int], sets_of: str, name: str) -> dict[Block, int]:
    """The layers that belong to a named set, in the same order.

    Args:
        layers: the result of `match_layers`
        sets_of: `IPAdapter.layer_sets`, or the name of a base model
        name: one of its sets, as `LAYER_SETS` names them

    Raises:
        ValueError: the base model has no set of this name.
    """
    sets = LAYER_SETS[sets_of]
    if name not in sets:
        if len(sets) == 1:
            raise ValueError(f"For {sets_of} there are no layers named {name!r}: choose {next(iter(sets))}.")
        raise ValueError(f"There are no layers named {name!r}: choose one of {', '.join(sets)}.")
    places = sets[name]
    return {block: layer for block, layer in layers.items() if places is None or (block.kind, block.index) in places}


def by_name(blocks: Iterable[Block]) -> dict[BlockName, list[Block]]:
    """The layers of each block by its kind and index, all in the order of execution."""
    named: dict[BlockName, list[Block]] = {}
    for block in sorted(blocks, key=lambda block: (EXECUTED.index(block.kind), block.index, block.depth)):
        named.setdefault((block.kind, block.index), []).append(block)
    return named


def _plural(blocks: Sequence[Block]) -> str:
    kinds = list(dict.fromkeys(block.kind for block in blocks))
    if set(kinds) <= set(UNET_BLOCKS):
        return "cross-attentions"
    return "blocks" if kinds == ["block"] else f"{' and '.join(kinds)} blocks"


def _made_for(layers: int) -> str:
    return next((f" ({base.name})" for base in BASE_MODELS if layers in _counts(base)), "")


def _counts(base: BaseModel) -> tuple[int, ...]:
    """How many layers adapters for a model may have: some of those for transformers act in one kind of blocks alone."""
    return (base.layers,) if set(base.blocks) == set(UNET_BLOCKS) else (base.layers, *base.blocks.values())
