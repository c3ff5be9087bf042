"""Where in the picture an image prompt acts: a mask at the token grid of one block."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from .sampling import Area


@dataclass(frozen=True, eq=False)
class Place:
    """mask: (N, H, W) of the picture, or None for everywhere."""

    mask: torch.Tensor | None = None


EVERYWHERE = Place()


class Grid(NamedTuple):
    """How the tokens of a block lie on the latent.

    height, width: of the tokens
    padding: rows and columns of latent pixels that the model adds at the end, where its last tokens would lack them
    beside: how many tokens follow, of pictures that the model reads, where no mask reaches
    """

    height: int
    width: int
    padding: tuple[int, int] = (0, 0)
    beside: int = 0


def token_mask(mask: torch.Tensor, latent: tuple[int, int], area: Area | None, grid: Grid) -> torch.Tensor:
    """(N, H, W) mask of the picture -> (N, L), at the tokens of a block that sees `area` of the latent.

    Args:
        latent: height and width of the whole latent
        area: (height, width, top, left) of what the block sees, in latent pixels, or None for all of it
        grid: the block's tokens
    """
    mask = mask.unsqueeze(1)
    if area is not None:
        height, width, top, left = area
        mask = _resized(mask, latent)[..., top : top + height, left : left + width]
    if any(grid.padding):
        mask = mask if area is not None else _resized(mask, latent)
        mask = F.pad(mask, (0, grid.padding[1], 0, grid.padding[0]), mode="replicate")
    return F.pad(_resized(mask, (grid.height, grid.width)).flatten(1), (0, grid.beside))


def _resized(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Averages when it shrinks, so that a thin mask does not fall between the samples."""
    if size[0] <= mask.shape[-2] and size[1] <= mask.shape[-1]:
        return F.adaptive_avg_pool2d(mask, size)
    return F.interpolate(mask, size, mode="bilinear", align_corners=False)
