"""The names of image encoders: of the rows of `clip_vision.PRESETS`, and the words in which adapters ask for them."""

from __future__ import annotations

ENCODER_OF_PRESET = {  # where they differ; all CLIP ViT-B are one word, because no adapter says which it was made for
    "CLIP ViT-B/32": "CLIP ViT-B",
    "CLIP ViT-B/32 gelu": "CLIP ViT-B",
    "CLIP ViT-B/32-256": "CLIP ViT-B",
    "CLIP ViT-B/16": "CLIP ViT-B",
    "CLIP ViT-B/16 gelu": "CLIP ViT-B",
    "SigLIP so400m/14-384": "SigLIP so400m",
}


def encoder_word(preset: str) -> str:
    """The word of `ip_adapter.ENCODERS` for the encoder that a row describes."""
    return ENCODER_OF_PRESET.get(preset, preset)
