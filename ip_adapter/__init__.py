"""Features of an image -> image tokens -> keys and values for a UNet's cross-attentions.

    adapter = load_adapter(load_file("ip-adapter-plus_sd15.safetensors"), dtype=torch.float32)
    adapter.feature, adapter.encoder_name    # "penultimate", "CLIP ViT-H/14": what to encode the image with
    tokens = adapter.tokens(features)        # (B, T, C)
    layers = adapter.key_value(tokens)       # (k, v) of every layer, in the order of the file

Needs torch alone.
"""

from .adapter import IPAdapter
from .attention import ImagePrompt, fold, image_attention
from .base_models import BASE_MODELS, KOLORS, LAYER_SETS, BaseModel
from .block_order import Block, file_order, match_layers, select_layers
from .checkpoint import identify, load_adapter
from .chunks import project, working_memory
from .containers import AdapterParts, normalise
from .families import APPLIED, APPLIED_TO, ENCODERS, FAMILIES, Family, encoder_name, purposes
from .foreign import ForeignFile
from .key_values import ImageKeyValues
from .layer_sets import LAYER_SET_NAMES

__all__ = [
    "APPLIED",
    "APPLIED_TO",
    "BASE_MODELS",
    "ENCODERS",
    "FAMILIES",
    "KOLORS",
    "LAYER_SETS",
    "LAYER_SET_NAMES",
    "AdapterParts",
    "BaseModel",
    "Block",
    "Family",
    "ForeignFile",
    "IPAdapter",
    "ImageKeyValues",
    "ImagePrompt",
    "encoder_name",
    "file_order",
    "fold",
    "identify",
    "image_attention",
    "load_adapter",
    "match_layers",
    "normalise",
    "project",
    "purposes",
    "select_layers",
    "working_memory",
]
