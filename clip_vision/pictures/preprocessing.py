"""Pictures -> pixel_values. Letters: B pictures, H height, W width, S pixels along a side of what the encoder reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..config import Rgb
from .images import Pictures, to_rgb
from .resample import resize

BLACK: Rgb = (0.0, 0.0, 0.0)
MAX_STRETCH = 400  # long side to short side; beyond, covering a square would need gigabytes


def preprocess(
    images: Pictures, size: int, mean: Rgb, std: Rgb, crop: str = "center", background: Rgb = BLACK
) -> Tensor:
    """Pictures -> pixel_values (B, 3, S, S) float32 on the CPU, (p - mean) / std per channel with p in 0..1.

    `images` and the errors are those of `images.to_rgb`; `crop` is a key of CROPS (ValueError otherwise); `background`
    (RGB in 0..1) lies behind transparent pictures and beside letterboxed ones.
    """
    return normalise(fit(images, size, crop, background), mean, std)


def fit(images: Pictures, size: int, crop: str = "center", background: Rgb = BLACK) -> Tensor:
    """What the encoder sees, as a picture: (B, S, S, 3) float32 in 0..1, in steps of 1/255.

    Raises what `preprocess` does.
    """
    check_crop(crop)
    if size < 1:
        raise ValueError(f"The encoder cannot read pictures of {size} pixels.")
    fitted = [CROPS[crop](batch, size, background) for batch in to_rgb(images, background)]
    return torch.cat(fitted).permute(0, 2, 3, 1).float() / 255  # (B, S, S, 3)


def check_crop(crop: object) -> None:
    """Refuse what is no key of `CROPS`."""
    if not isinstance(crop, str) or crop not in CROPS:
        raise ValueError(f"Unknown crop {crop!r:.80}. Known: {', '.join(CROPS)}.")


def normalise(pictures: Tensor, mean: Rgb, std: Rgb) -> Tensor:
    """(B, S, S, 3) in 0..1 -> pixel_values (B, 3, S, S)."""
    return ((pictures - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2).contiguous()


def _cover(down: float, right: float) -> Callable[[Tensor, int, Rgb], Tensor]:
    """Short side to S, then cut a square: `down` and `right` in 0..1 say where in what is left over.

    Rounding is that of transformers' CLIPImageProcessor: long side and offsets are rounded down.
    """

    def crop(pixels: Tensor, size: int, background: Rgb) -> Tensor:
        height, width = pixels.shape[2:]
        short = min(height, width)
        if max(height, width) > MAX_STRETCH * short:
            raise ValueError(
                f"A picture of {width}x{height} pixels is too narrow to cut a square from. "
                'Use the crop "pad" or "squash".'
            )
        pixels = resize(pixels, int(size * height / short), int(size * width / short))
        height, width = pixels.shape[2:]
        top, left = int(down * (height - size)), int(right * (width - size))
        return pixels[:, :, top : top + size, left : left + size]

    return crop


def _pad(pixels: Tensor, size: int, background: Rgb) -> Tensor:
    """Long side to S, in the middle of a square of the background color."""
    height, width = pixels.shape[2:]
    long = max(height, width)
    pixels = resize(pixels, max(1, round(size * height / long)), max(1, round(size * width / long)))
    height, width = pixels.shape[2:]
    color = (torch.tensor(background) * 255).round().to(torch.uint8)
    padded = color.view(1, 3, 1, 1).repeat(len(pixels), 1, size, size)
    top, left = (size - height) // 2, (size - width) // 2
    padded[:, :, top : top + height, left : left + width] = pixels
    return padded


def _squash(pixels: Tensor, size: int, background: Rgb) -> Tensor:
    return resize(pixels, size, size)


# name -> (B, 3, H, W) uint8 -> (B, 3, S, S) uint8
CROPS: dict[str, Callable[[Tensor, int, Rgb], Tensor]] = {
    "center": _cover(0.5, 0.5),
    "top": _cover(0.0, 0.5),
    "bottom": _cover(1.0, 0.5),
    "left": _cover(0.5, 0.0),
    "right": _cover(0.5, 1.0),
    "pad": _pad,
    "squash": _squash,
}
