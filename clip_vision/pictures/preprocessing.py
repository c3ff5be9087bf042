"""Pictures -> pixel_values. Letters: B pictures, H height, W width, S pixels along a side of what the encoder reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..config import Rgb
from .boxes import Crop, check_crop, crop_box, cut
from .images import Pictures, to_rgb
from .resample import resize

BLACK: Rgb = (0.0, 0.0, 0.0)
MAX_STRETCH = 400  # long side to short side; beyond, covering a square would need gigabytes


def preprocess(
    images: Pictures, size: int, mean: Rgb, std: Rgb, crop: Crop = "center", background: Rgb = BLACK
) -> Tensor:
    """Pictures -> pixel_values (B, 3, S, S) float32 on the CPU, (p - mean) / std per channel with p in 0..1.

    `images` and the errors are those of `images.to_rgb`; `crop` is a key of CROPS or a square that is placed by
    hand, as `crop_box` takes them (ValueError otherwise); `background` (RGB in 0..1) lies behind transparent pictures
    and beside what lies beyond their edges.
    """
    return normalise(fit(images, size, crop, background), mean, std)


def fit(images: Pictures, size: int, crop: Crop = "center", background: Rgb = BLACK) -> Tensor:
    """What the encoder sees, as a picture: (B, S, S, 3) float32 in 0..1, in steps of 1/255.

    Raises what `preprocess` does.
    """
    crop = check_crop(crop)
    if size < 1:
        raise ValueError(f"The encoder cannot read pictures of {size} pixels.")
    read = CROPS[crop] if isinstance(crop, str) else _squash
    fitted = [read(batch, size, crop, background) for batch in to_rgb(images, background)]
    return torch.cat(fitted).permute(0, 2, 3, 1).float() / 255  # (B, S, S, 3)


def normalise(pictures: Tensor, mean: Rgb, std: Rgb) -> Tensor:
    """(B, S, S, 3) in 0..1 -> pixel_values (B, 3, S, S)."""
    return ((pictures - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2).contiguous()


def _cover(pixels: Tensor, size: int, crop: Crop, background: Rgb) -> Tensor:
    """Short side to S, then cut a square.

    Rounding is that of transformers' CLIPImageProcessor: long side and offsets are rounded down.
    """
    height, width = pixels.shape[2:]
    short = min(height, width)
    if max(height, width) > MAX_STRETCH * short:
        raise ValueError(
            f"A picture of {width}x{height} pixels is too narrow to cut a square from. Give one that is less narrow, "
            'or the crop "pad" or "squash" where it can be chosen.'
        )
    return _cut(resize(pixels, int(size * height / short), int(size * width / short)), crop, background)


def _pad(pixels: Tensor, size: int, crop: Crop, background: Rgb) -> Tensor:
    """Long side to S, in the middle of a square of the background color."""
    height, width = pixels.shape[2:]
    long = max(height, width)
    pixels = resize(pixels, max(1, round(size * height / long)), max(1, round(size * width / long)))
    return _cut(pixels, crop, background)


def _squash(pixels: Tensor, size: int, crop: Crop, background: Rgb) -> Tensor:
    return resize(_cut(pixels, crop, background), size, size)


def _cut(pixels: Tensor, crop: Crop, background: Rgb) -> Tensor:
    return cut(pixels, crop_box(pixels.shape[2], pixels.shape[3], crop), background)


# name -> (B, 3, H, W) uint8 -> (B, 3, S, S) uint8
CROPS: dict[str, Callable[[Tensor, int, Crop, Rgb], Tensor]] = {
    "center": _cover,
    "top": _cover,
    "bottom": _cover,
    "left": _cover,
    "right": _cover,
    "pad": _pad,
    "squash": _squash,
}
