"""How much of an image prompt acts in each layer: presets, curves over depth and typed-in numbers, for any model.

A block is one entry of a UNet's `input_blocks`, `middle_block` and `output_blocks` that has cross-attentions, or one
block of a transformer; a layer is what acts in it, of which the blocks of SDXL have two or ten, all others one.
"""

from __future__ import annotations

from .acting import Acting, acting_in
from .curves import DEPTH_CURVES
from .divisions import By
from .kinds import CurveWeights, IndexedWeights, LayerWeights, ListedWeights, PresetWeights, parse_layer_weights
from .preset import Cell, Preset
from .presets import PRESETS
from .published_blocks import PUBLISHED_BLOCKS
from .table import layer_summary, layer_table
from .weight_types import WEIGHT_TYPES, weight_type

__all__ = [
    "DEPTH_CURVES",
    "PRESETS",
    "PUBLISHED_BLOCKS",
    "WEIGHT_TYPES",
    "Acting",
    "By",
    "Cell",
    "CurveWeights",
    "IndexedWeights",
    "LayerWeights",
    "ListedWeights",
    "Preset",
    "PresetWeights",
    "acting_in",
    "layer_summary",
    "layer_table",
    "parse_layer_weights",
    "weight_type",
]
