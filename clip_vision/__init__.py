"""Image encoders: pictures to features, in plain torch. The vision transformers of CLIP, SigLIP, DINOv2 and their kin.

encoder = load("clip_vision_h.safetensors")
features = encode(encoder, "photo.jpg", want=("image_embeds", "penultimate"))

Where the file is a full CLIP or SigLIP, its texts are encoded into the space of image_embeds:

vectors = encode_texts(load_text("CLIP-ViT-H-14.safetensors"), ["a red bicycle", "a blue car"])
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .combining import COMBINE_BY_NUMBERS, COMBINE_METHODS, COMBINE_ROWS, combine
    from .config import VisionConfig
    from .dtypes import best_dtype
    from .encoding import encode, encode_pixels
    from .features import FEATURES, VisionFeatures
    from .files.checkpoint import describe, load_encoder
    from .files.export import to_published, to_transformers
    from .files.fingerprints import fingerprint
    from .files.from_file import load
    from .files.presets import PRESETS, Preset
    from .network.model import VisionEncoder
    from .network.packing import pack_weights, unpack_weights
    from .pictures.boxes import Box, Crop, Edges, crop_box, read_box
    from .pictures.masking import clear_outside, crop_to_mask, mask_box
    from .pictures.preprocessing import CROPS, fit, preprocess
    from .pictures.tiling import cut_tiles, tile_boxes
    from .saving.saved import SavedFeatures, load_features, save_features
    from .text.checkpoint import load_text_encoder
    from .text.config import TextConfig
    from .text.encoding import encode_texts
    from .text.from_file import load_text
    from .text.network import TextEncoder
    from .text.tokens import Tokenizer

__all__ = [
    "COMBINE_BY_NUMBERS",
    "COMBINE_METHODS",
    "COMBINE_ROWS",
    "CROPS",
    "FEATURES",
    "PRESETS",
    "Box",
    "Crop",
    "Edges",
    "Preset",
    "SavedFeatures",
    "TextConfig",
    "TextEncoder",
    "Tokenizer",
    "VisionConfig",
    "VisionEncoder",
    "VisionFeatures",
    "best_dtype",
    "clear_outside",
    "combine",
    "crop_box",
    "crop_to_mask",
    "cut_tiles",
    "describe",
    "encode",
    "encode_pixels",
    "encode_texts",
    "fingerprint",
    "fit",
    "load",
    "load_encoder",
    "load_text",
    "load_text_encoder",
    "mask_box",
    "pack_weights",
    "preprocess",
    "read_box",
    "tile_boxes",
    "load_features",
    "save_features",
    "to_published",
    "to_transformers",
    "unpack_weights",
]

EXPORTS = {  # module -> its names that the package gives
    "combining": ("COMBINE_BY_NUMBERS", "COMBINE_METHODS", "COMBINE_ROWS", "combine"),
    "config": ("VisionConfig",),
    "dtypes": ("best_dtype",),
    "encoding": ("encode", "encode_pixels"),
    "features": ("FEATURES", "VisionFeatures"),
    "files.checkpoint": ("describe", "load_encoder"),
    "files.export": ("to_published", "to_transformers"),
    "files.fingerprints": ("fingerprint",),
    "files.from_file": ("load",),
    "files.presets": ("PRESETS", "Preset"),
    "network.model": ("VisionEncoder",),
    "network.packing": ("pack_weights", "unpack_weights"),
    "pictures.boxes": ("Box", "Crop", "Edges", "crop_box", "read_box"),
    "pictures.masking": ("clear_outside", "crop_to_mask", "mask_box"),
    "pictures.preprocessing": ("CROPS", "fit", "preprocess"),
    "pictures.tiling": ("cut_tiles", "tile_boxes"),
    "saving.saved": ("SavedFeatures", "load_features", "save_features"),
    "text.checkpoint": ("load_text_encoder",),
    "text.config": ("TextConfig",),
    "text.encoding": ("encode_texts",),
    "text.from_file": ("load_text",),
    "text.network": ("TextEncoder",),
    "text.tokens": ("Tokenizer",),
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
