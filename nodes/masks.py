"""Where in the picture an image prompt acts: a mask at the token grid of one block."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .sampling import Area


@dataclass(frozen=True, eq=False)
class Place:
    """mask: (N, H, W) of the picture, or None for everywhere."""

    mask: torch.Tensor | None = None


EVERYWHERE = Place()


def token_mask(mask: torch.Tensor, latent: tuple[int, int], area: Area | None, grid: tuple[int, int]) -> torch.Tensor:
    """(N, H, W) mask of the picture -> (N, h * w), at the tokens of a block that sees `area` of the latent.

    Args:
        latent: height and width of the whole latent
        area: (height, width, top, left) of what the block sees, in latent pixels, or None for all of it
        grid: height and width of the block's tokens
    """
    mask = mask.unsqueeze(1)
    if area is not None:
        height, width, top, left = area
        mask = _resized(mask, latent)[..., top : top + height, left : left + width]
    return _resized(mask, grid).flatten(1)


def _resized(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Averages when it shrinks, so that a thin mask does not fall between the samples."""
    if size[0] <= mask.shape[-2] and size[1] <= mask.shape[-1]:
        return F.adaptive_avg_pool2d(mask, size)
    return F.interpolate(mask, size, mode="bilinear", align_corners=False)
