"""The blocks of a UNet in which an image prompt acts, under names that people know: its style, its composition.

SDXL: the two blocks that InstantStyle found, up_blocks.0.attentions.1 for style and down_blocks.2.attentions.1 for
composition in the names of diffusers (https://arxiv.org/abs/2404.02733).
SD1.5: no paper says which; packs take their own. Here it is what was measured with adapters trained in the small world
of demo/, whose UNet has the same blocks: style is where colour, texture and ground come from, composition where place
and shape do. Input 4 and 5 (some colour) and output 8 (the ground) are in neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Place = tuple[str, int]  # kind and index of a Block, whatever its depth
LayerSets = Mapping[str, frozenset[Place] | None]  # None: every block


def _places(kind: str, *indices: int) -> frozenset[Place]:
    return frozenset((kind, index) for index in indices)


def _named(style: frozenset[Place], composition: frozenset[Place]) -> LayerSets:
    return MappingProxyType(
        {
            "all": None,
            "style": style,
            "composition": composition,
            "style and composition": style | composition,
        }
    )


SD15 = _named(
    style=_places("input", 1, 2) | _places("output", 9, 10, 11),
    composition=_places("input", 7, 8) | _places("middle", 0) | _places("output", 3, 4, 5, 6, 7),
)
SDXL = _named(style=_places("output", 1), composition=_places("input", 8))
FLUX: LayerSets = MappingProxyType({"all": None})  # nobody has published which blocks are its style

LAYER_SET_NAMES = tuple(SD15)
