"""Turn features of an image into image tokens, and the tokens into keys and values for a diffusion model.

    adapter = load("ip-adapter-plus_sd15.safetensors")
    adapter.feature, adapter.encoder_name    # "penultimate", "CLIP ViT-H/14": the feature to compute, and with what
    tokens = adapter.tokens(features)        # (B, T, C)
    layers = adapter.key_value(tokens)       # (k, v) of every layer, in the order of the file

It needs only torch, and its tables not even that.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapter import IPAdapter
    from .attention import NOTHING, Attended, Beside, Plan, Step, image_attention, plan_attention, scale_key
    from .checkpoint import copy_adapter, identify, load_adapter
    from .containers import AdapterParts, normalise
    from .families import APPLIED, APPLIED_TO, FAMILIES, Acts, Combine, Family, alike, purposes
    from .families.base_models import BASE_MODELS, LAYER_SETS, BaseModel
    from .families.foreign import ForeignFile
    from .families.layer_sets import LAYER_SET_NAMES
    from .features import ENCODERS, Features, Reads, encoder_name
    from .frame_weights import parse_frame_weights
    from .from_file import load
    from .key_values import Constant, Keys, PerStep, PerWindow, Pick, Picked, Sides
    from .layer_weights import (
        DEPTH_CURVES,
        PRESETS,
        PUBLISHED_BLOCKS,
        WEIGHT_TYPES,
        Acting,
        CurveWeights,
        IndexedWeights,
        LayerWeights,
        ListedWeights,
        PresetWeights,
        acting_in,
        layer_summary,
        layer_table,
        parse_layer_weights,
        weight_type,
    )
    from .layers import Block, file_order, match_layers, select_layers
    from .prepare import kept_memory, project, stepping, working_memory
    from .scaling import SCALINGS, ScalingName
    from .step_weights import StepWeights, parse_step_weights, step_curve, step_table, step_text
    from .strength import ALWAYS, CURVES, OWN, Course, Frame, Keyframe, Share, Side, Strength
    from .tokens import TokenOptions, Tokens, image_tokens
    from .weight_text import WEIGHT_LIMIT

__all__ = [
    "ALWAYS",
    "APPLIED",
    "APPLIED_TO",
    "BASE_MODELS",
    "CURVES",
    "DEPTH_CURVES",
    "ENCODERS",
    "FAMILIES",
    "LAYER_SETS",
    "LAYER_SET_NAMES",
    "NOTHING",
    "OWN",
    "PRESETS",
    "PUBLISHED_BLOCKS",
    "SCALINGS",
    "WEIGHT_LIMIT",
    "WEIGHT_TYPES",
    "Acting",
    "Acts",
    "AdapterParts",
    "Attended",
    "BaseModel",
    "Beside",
    "Block",
    "Combine",
    "Constant",
    "Course",
    "CurveWeights",
    "Family",
    "Features",
    "ForeignFile",
    "Frame",
    "IPAdapter",
    "IndexedWeights",
    "Keyframe",
    "Keys",
    "LayerWeights",
    "ListedWeights",
    "PerStep",
    "PerWindow",
    "Pick",
    "Picked",
    "Plan",
    "PresetWeights",
    "Reads",
    "ScalingName",
    "Share",
    "Side",
    "Sides",
    "Step",
    "StepWeights",
    "Strength",
    "TokenOptions",
    "Tokens",
    "acting_in",
    "alike",
    "copy_adapter",
    "encoder_name",
    "file_order",
    "identify",
    "image_attention",
    "image_tokens",
    "kept_memory",
    "layer_summary",
    "layer_table",
    "load",
    "load_adapter",
    "match_layers",
    "normalise",
    "parse_frame_weights",
    "parse_layer_weights",
    "parse_step_weights",
    "plan_attention",
    "project",
    "purposes",
    "scale_key",
    "select_layers",
    "step_curve",
    "step_table",
    "step_text",
    "stepping",
    "weight_type",
    "working_memory",
]

EXPORTS = {  # module -> its names that the package gives
    "adapter": ("IPAdapter",),
    "attention": (
        "NOTHING",
        "Attended",
        "Beside",
        "Plan",
        "Step",
        "image_attention",
        "plan_attention",
        "scale_key",
    ),
    "checkpoint": ("copy_adapter", "identify", "load_adapter"),
    "containers": ("AdapterParts", "normalise"),
    "families": ("APPLIED", "APPLIED_TO", "FAMILIES", "Acts", "Combine", "Family", "alike", "purposes"),
    "families.base_models": ("BASE_MODELS", "LAYER_SETS", "BaseModel"),
    "families.foreign": ("ForeignFile",),
    "families.layer_sets": ("LAYER_SET_NAMES",),
    "features": ("ENCODERS", "Features", "Reads", "encoder_name"),
    "frame_weights": ("parse_frame_weights",),
    "from_file": ("load",),
    "key_values": ("Constant", "Keys", "PerStep", "PerWindow", "Pick", "Picked", "Sides"),
    "layer_weights": (
        "DEPTH_CURVES",
        "PRESETS",
        "PUBLISHED_BLOCKS",
        "WEIGHT_TYPES",
        "Acting",
        "CurveWeights",
        "IndexedWeights",
        "LayerWeights",
        "ListedWeights",
        "PresetWeights",
        "acting_in",
        "layer_summary",
        "layer_table",
        "parse_layer_weights",
        "weight_type",
    ),
    "layers": ("Block", "file_order", "match_layers", "select_layers"),
    "prepare": ("kept_memory", "project", "stepping", "working_memory"),
    "scaling": ("SCALINGS", "ScalingName"),
    "step_weights": ("StepWeights", "parse_step_weights", "step_curve", "step_table", "step_text"),
    "strength": ("ALWAYS", "CURVES", "OWN", "Course", "Frame", "Keyframe", "Share", "Side", "Strength"),
    "tokens": ("TokenOptions", "Tokens", "image_tokens"),
    "weight_text": ("WEIGHT_LIMIT",),
}
_HOMES = {name: module for module, names in EXPORTS.items() for name in names}

if not TYPE_CHECKING:  # to type checkers it would hide misspelt names

    def __getattr__(name):
        """Import the module that has this name when it is first used: most of them need torch, which takes seconds."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
