"""Where in the picture an image prompt acts, and how a mask is placed on the tokens of a block."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch.nn import functional as F

from .sampling import Area

Resizing = Literal["average", "bilinear", "bicubic"]


@dataclass(frozen=True, eq=False)
class Place:
    """Where in the picture an image prompt acts.

    mask: (N, H, W), of any size, or None for everywhere
    resizing: how the mask is brought to the size of a block, and into areas, a key of `RESIZINGS`
    """

    mask: torch.Tensor | None = None
    resizing: Resizing = "average"


EVERYWHERE = Place()


class Grid(NamedTuple):
    """How the tokens of a block lie on the latent.

    height, width: how many rows and columns of tokens there are
    padding: how many rows and columns of latent pixels the model adds at the end, to complete its last tokens
    before: how many tokens of text come first. Under a mask they take its mean: all under a white one, none under black
    frames: how many frames follow each other, with so many tokens each
    """

    height: int
    width: int
    padding: tuple[int, int] = (0, 0)
    before: int = 0
    frames: int = 1


def token_mask(
    mask: torch.Tensor, latent: tuple[int, int], area: Area | None, grid: Grid, resizing: Resizing = "average"
) -> torch.Tensor:
    """Place a mask of the picture on the tokens of a block: (N, H, W) -> (N, L).

    Args:
        mask: (N, H, W) in 0..1, of any size
        latent: height and width of the whole latent, in latent pixels
        area: (height, width, top, left) of the part of the latent that the block sees, in latent pixels; None: all
        grid: how the tokens of the block lie on that part
        resizing: a key of `RESIZINGS`
    """
    mask, (resized, is_cut) = mask.unsqueeze(1), RESIZINGS[resizing]
    area = area if is_cut else None
    if area is not None:
        height, width, top, left = area
        mask = resized(mask, latent)[..., top : top + height, left : left + width]
    if any(grid.padding):
        mask = mask if area is not None else resized(mask, latent)
        mask = F.pad(mask, (0, grid.padding[1], 0, grid.padding[0]), mode="replicate")
    tokens = resized(mask, (grid.height, grid.width)).flatten(1).repeat(1, grid.frames)
    return torch.cat((tokens.mean(1, keepdim=True).expand(-1, grid.before), tokens), 1) if grid.before else tokens


def _averaged(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a mask. It is averaged where it shrinks, so that thin lines do not fall between the samples."""
    if size[0] <= mask.shape[-2] and size[1] <= mask.shape[-1]:
        return F.adaptive_avg_pool2d(mask, size)
    return _bilinear(mask, size)


def _bilinear(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(mask, size, mode="bilinear", align_corners=False)


def _bicubic(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(mask, size, mode="bicubic", align_corners=False)


class Resized(NamedTuple):
    """How masks are resized.

    to: (N, 1, H, W) and a height and a width -> (N, 1, height, width)
    is_cut: whether a condition with an area gets the part of the mask that lies there; otherwise all of it, squeezed
    """

    to: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]
    is_cut: bool


RESIZINGS: Mapping[Resizing, Resized] = {
    "average": Resized(_averaged, True),
    "bilinear": Resized(_bilinear, False),  # as other packs do it: thin lines fall between the samples
    "bicubic": Resized(_bicubic, False),  # the same
}
