"""Translate the names of `clip_vision.PRESETS` into the words by which adapters ask for their encoders."""

from __future__ import annotations

ENCODER_OF_PRESET = {  # only where they differ; no adapter says for which CLIP ViT-B it was made
    "CLIP ViT-B/32": "CLIP ViT-B",
    "CLIP ViT-B/32 gelu": "CLIP ViT-B",
    "CLIP ViT-B/32-256": "CLIP ViT-B",
    "CLIP ViT-B/16": "CLIP ViT-B",
    "CLIP ViT-B/16 gelu": "CLIP ViT-B",
    "SigLIP so400m/14-384": "SigLIP so400m",
}


def encoder_word(preset: str) -> str:
    """The word of `ip_adapter.ENCODERS` for the encoder that a preset describes."""
    return ENCODER_OF_PRESET.get(preset, preset)


def encoder_words() -> dict[str, str]:
    """{every name of an encoder: the word by which adapters ask for it}"""
    from ...clip_vision import PRESETS  # here, because everything else in this module needs neither of the cores
    from ...ip_adapter import ENCODERS

    return {name: encoder_word(name) for name in (*ENCODERS.values(), *(preset.name for preset in PRESETS))}
