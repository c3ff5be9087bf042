"""Pictures -> features, a few at a time. Letters: B pictures, S pixels along a side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import cast

import torch
from torch import Tensor

from .config import Rgb
from .features import VisionFeatures, concatenate
from .network.model import VisionEncoder
from .pictures.boxes import Crop
from .pictures.images import Pictures
from .pictures.preprocessing import BLACK, preprocess

CHUNK = 8
GPU_TOKENS = 8192  # in a chunk on a GPU at most: those of 8 pictures of 512 pixels with patches of 16
CPU_TOKENS = 1024  # in a chunk on a CPU: fewer leave it idle, more are slower as activations outgrow the caches


def encode(
    encoder: VisionEncoder,
    images: Pictures,
    *,
    want: Collection[str] = ("image_embeds",),
    hidden_layers: Sequence[int] = (),
    crop: Crop = "center",
    background: Rgb = BLACK,
    chunk_size: int | None = None,
) -> VisionFeatures:
    """The features of pictures.

    images: a path, a PIL image, an array or a tensor of one picture or a batch, or a list of these, as `images.to_rgb`
        takes them. `cut_tiles`, `crop_to_mask` and `clear_outside` make such lists
    want: names of features, of `VisionFeatures`; the others are None in the result
    hidden_layers: indices into transformers' `hidden_states`
    crop: how a picture becomes square, a key of `CROPS`: "center", "top", "bottom", "left", "right", "pad" or "squash";
        or a square that is placed by hand, (left, top, side), as `crop_box` takes it
    background: RGB in 0..1, behind transparent pictures and beside those that "pad" keeps whole
    chunk_size: pictures in one forward pass at most; by default as many as are fast

    Raises:
        ValueError: a picture cannot be read or used, a word or a number is none of these, or the encoder has no such
            feature.
    """
    if not isinstance(cast(object, encoder), VisionEncoder):
        raise ValueError(
            f"The encoder is a {type(encoder).__name__}: give what `load` returns, not the path or the name of a file."
        )
    config = encoder.config
    pixel_values = preprocess(images, config.image_size, config.mean, config.std, crop, background)
    return encode_pixels(encoder, pixel_values, want=want, hidden_layers=hidden_layers, chunk_size=chunk_size)


def encode_pixels(
    encoder: VisionEncoder,
    pixel_values: Tensor,
    *,
    want: Collection[str] = ("image_embeds",),
    hidden_layers: Sequence[int] = (),
    chunk_size: int | None = None,
    on_chunk: Callable[[int], object] | None = None,
    keep_on: torch.device | None = None,
) -> VisionFeatures:
    """The features of pixel_values (B, 3, S, S), float32, a chunk at a time.

    pixel_values of zeros (the mean color, after normalising) are the "no picture" that plus adapters were trained with.
    A chunk is as large as is fast on the device, and at most `chunk_size` pictures. `on_chunk` is told the number of
    pictures after each chunk; what it raises ends the encoding. The features are kept on the device `keep_on`, which is
    that of the encoder by default.
    Raises the ValueErrors of `VisionEncoder.forward`, and one for a chunk size below 1.
    """
    device = encoder.weight_device
    size = _chunk_size(encoder, chunk_size)
    parts: list[VisionFeatures] = []
    with torch.no_grad():
        for start in range(0, len(pixel_values) or 1, size):
            chunk = pixel_values[start : start + size].to(device)
            parts.append(encoder(chunk, want, hidden_layers).to(torch.float32).to(keep_on or device))
            if on_chunk is not None:
                on_chunk(len(chunk))
    return concatenate(parts)


def check_chunk_size(size: object, what: str = "chunk", of: str = "pictures") -> None:
    """Refuse what is no number of pictures, or of what else they are `of`. `what`: what they are called"""
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"A {what} of {size!r} {of}: give a whole number, 1 or more.")


def _chunk_size(encoder: VisionEncoder, at_most: int | None) -> int:
    if at_most is not None:
        check_chunk_size(at_most)
    tokens = encoder.config.tokens
    if encoder.weight_device.type != "cpu":
        return min(at_most or CHUNK, max(1, GPU_TOKENS // tokens))
    fast = max(1, CPU_TOKENS // tokens)
    return min(at_most or fast, fast)
