"""Pictures -> features, a few at a time. Letters: B pictures, S pixels along a side."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from .config import Rgb
from .features import VisionFeatures, concatenate, to_float32
from .images import Pictures
from .model import VisionEncoder
from .preprocess import BLACK, preprocess

CHUNK = 8
CPU_TOKENS = 1024  # of a chunk on a CPU: more gain nothing there, and lose when activations outgrow the caches


def encode(
    encoder: VisionEncoder,
    images: Pictures,
    *,
    want: Collection[str] = ("image_embeds",),
    hidden_layers: Sequence[int] = (),
    crop: str = "center",
    background: Rgb = BLACK,
    chunk_size: int = CHUNK,
) -> VisionFeatures:
    """The features of pictures: `preprocess.preprocess` for this encoder, then `encode_pixels`; their errors."""
    config = encoder.config
    pixel_values = preprocess(images, config.image_size, config.mean, config.std, crop, background)
    return encode_pixels(encoder, pixel_values, want=want, hidden_layers=hidden_layers, chunk_size=chunk_size)


def encode_pixels(
    encoder: VisionEncoder,
    pixel_values: Tensor,
    *,
    want: Collection[str] = ("image_embeds",),
    hidden_layers: Sequence[int] = (),
    chunk_size: int = CHUNK,
) -> VisionFeatures:
    """The features of pixel_values (B, 3, S, S), float32 on the encoder's device, up to `chunk_size` at a time.

    pixel_values of zeros (the mean color, after normalising) are the "no picture" that plus adapters were trained with.
    ValueError as `VisionEncoder.forward`, and for a chunk size below 1.
    """
    if chunk_size < 1:
        raise ValueError(f"A chunk of {chunk_size} pictures: give 1 or more.")
    pixel_values = pixel_values.to(encoder.weight_device)
    if pixel_values.device.type == "cpu":
        chunk_size = min(chunk_size, max(1, CPU_TOKENS // encoder.config.tokens))
    chunks = [pixel_values[start : start + chunk_size] for start in range(0, len(pixel_values) or 1, chunk_size)]
    with torch.no_grad():
        return concatenate([to_float32(encoder(chunk, want, hidden_layers)) for chunk in chunks])
