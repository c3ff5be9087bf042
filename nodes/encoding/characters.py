"""What SigLIP and DINOv2 together see of a character, as InstantCharacter reads it.

Letters: B pictures, S layers, N positions of a picture, T tokens of an encoder, W width of its states.
Source: Tencent/InstantCharacter, `pipeline.py`.
"""

from collections.abc import Sequence

import torch

from ...clip_vision import clear_outside, fit
from ...clip_vision.config import Rgb
from ...clip_vision.pictures.images import Pictures
from .encoder import SOME_LAYERS, ImageEncoder, encode_pixel_values, pixel_values
from .features import ENCODED
from .squares import fitting_mask, one_by_one

SIDE = 384  # of the pictures that both encoders read
LAST = ENCODED["last"]
MASK = "mask"
LONG_SIDE = ("pad", "squash")  # crops that keep the whole picture, so that a square of its long side loses nothing


def square_pictures(image: torch.Tensor, crop: str, background: Rgb, mask: torch.Tensor | None) -> list[torch.Tensor]:
    """The squares of an image (B, H, W, C) that are looked at, as large as they are in it: (1, L, L, 3) each.

    crop: how a picture becomes square, a key of `CROPS`; or `MASK`: what the mask shows, in the middle
    mask: (1 or B, H, W), of which everything outside becomes the background

    Raises:
        ValueError: the mask does not fit the image, or shows nothing.
    """
    pictures: Pictures = one_by_one(image)
    if mask is None:
        return [_square(picture, crop, background) for picture in pictures]
    shown = (fitting_mask(mask, image) >= 0.5).float()  # as published: a pixel is the character's, or it is not
    cleared = clear_outside(pictures, shown.unsqueeze(-1), background)
    if crop != MASK:
        return [_square(picture.unsqueeze(0), crop, background) for picture in cleared]
    boxes = (each[_box(shown[number % len(shown)])] for number, each in enumerate(cleared))
    return [_square(each.unsqueeze(0), "pad", background) for each in boxes]


def _square(picture: torch.Tensor, crop: str, background: Rgb) -> torch.Tensor:
    sides = picture.shape[1:3]
    return fit(picture, max(sides) if crop in LONG_SIDE else min(sides), crop, background)


def _box(shown: torch.Tensor) -> tuple[slice, slice]:
    """The rows and columns of the white part of a mask (H, W)."""
    rows, columns = (shown.any(axis).nonzero() for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def resized(squares: Sequence[torch.Tensor], side: int) -> torch.Tensor:
    """Squares of several sizes as pictures of one, (B, side, side, 3)."""
    return fit(list(squares), side, "squash")


def quarters(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 2 * L, 2 * L, 3) -> their quarters, row by row, (4 * B, L, L, 3)."""
    side = pictures.shape[1] // 2
    rows = pictures.view(-1, 2, side, 2, side, pictures.shape[-1])  # (B, 2, L, 2, L, 3)
    return rows.transpose(2, 3).flatten(0, 2)


def character_features(
    siglip: ImageEncoder, dino: ImageEncoder, whole: torch.Tensor, pieces: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The features of characters, (B, ..., W + W) each.

    whole: (B, 384, 384, 3)
    pieces: of the same pictures, (4 * B, 384, 384, 3)
    """
    both = (siglip, dino)
    seen = [_states(encoder, whole, (LAST, SOME_LAYERS)) for encoder in both]
    close = [_states(encoder, pieces, (LAST,))[LAST] for encoder in both]
    return {
        "character_shallow": torch.cat([each[SOME_LAYERS] for each in seen], dim=-1),
        "character_deep": torch.cat([each[LAST] for each in seen], dim=-1),
        "character_pieces": torch.cat(close, dim=-1).unflatten(0, (len(whole), -1)).flatten(1, 2),
    }


def _states(encoder: ImageEncoder, pictures: torch.Tensor, want: Sequence[str]) -> dict[str, torch.Tensor]:
    """Hidden states of patches alone, (B, N, W), or of several layers, one after the other, (B, S * N, W)."""
    config = encoder.model.config
    found = encode_pixel_values(encoder, pixel_values(encoder, pictures), want)
    layers = {name: states.unflatten(1, (-1, config.tokens)) for name, states in found.items()}  # (B, S, T, W)
    return {name: states[:, :, config.first_patch :].flatten(1, 2) for name, states in layers.items()}
