"""Named sets of blocks in which an image prompt acts: those that carry its style, and those that carry its composition.

SDXL: the two blocks that InstantStyle found (https://arxiv.org/abs/2404.02733): up_blocks.0.attentions.1 for style and
down_blocks.2.attentions.1 for composition, as diffusers names them.
SD1.5: no paper names the blocks, and node packs differ. These were measured with adapters trained in the small world of
demo/, whose UNet has the same blocks: colour, texture and background come from the blocks of "style", position and
shape from those of "composition". Input 4 and 5 (some colour) and output 8 (the background) are in neither set.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BlockName = tuple[str, int]  # kind and index of blocks, of any depth
LayerSets = Mapping[str, frozenset[BlockName] | None]  # None: every block


def places(kind: str, *indices: int) -> frozenset[BlockName]:
    return frozenset((kind, index) for index in indices)


def _named(style: frozenset[BlockName], composition: frozenset[BlockName]) -> LayerSets:
    return MappingProxyType(
        {
            "all": None,
            "style": style,
            "composition": composition,
            "style and composition": style | composition,
        }
    )


SD15 = _named(
    style=places("input", 1, 2) | places("output", 9, 10, 11),
    composition=places("input", 7, 8) | places("middle", 0) | places("output", 3, 4, 5, 6, 7),
)
SDXL = _named(style=places("output", 1), composition=places("input", 8))
CSGO = _named(style=places("output", 0, 1, 2, 3, 4, 5), composition=places("input", 4, 5, 7, 8))  # as it was trained
DIT: LayerSets = MappingProxyType({"all": None})  # for no transformer has anybody published which blocks carry style

LAYER_SET_NAMES = tuple(SD15)
