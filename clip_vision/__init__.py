"""Image encoders: pictures to features, in plain torch. CLIP and SigLIP vision transformers in their published layouts.

encoder = load("clip_vision_h.safetensors")
features = encode(encoder, PIL.Image.open("photo.jpg"), want=("image_embeds", "penultimate"))
"""

from .checkpoint import describe, load_encoder, to_transformers
from .combining import COMBINE_METHODS, COMBINE_ROWS, combine
from .config import VisionConfig
from .dtypes import best_dtype
from .encoding import encode, encode_pixels
from .features import FEATURES, VisionFeatures
from .load import load
from .model import VisionEncoder
from .packing import pack_weights, unpack_weights
from .preprocessing import CROPS, fit, preprocess
from .presets import PRESETS, Preset

__all__ = [
    "COMBINE_METHODS",
    "COMBINE_ROWS",
    "CROPS",
    "FEATURES",
    "PRESETS",
    "Preset",
    "VisionConfig",
    "VisionEncoder",
    "VisionFeatures",
    "best_dtype",
    "combine",
    "describe",
    "encode",
    "encode_pixels",
    "fit",
    "load",
    "load_encoder",
    "pack_weights",
    "preprocess",
    "to_transformers",
    "unpack_weights",
]
