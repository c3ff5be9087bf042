"""Change masks before they are used: a soft edge, inside out, and several that overlap. N masks of H x W, in 0..1."""

from collections.abc import Sequence
from math import isfinite

import torch
from torch.nn import functional as F

OVERLAP = 1e-6  # by how much masks may exceed 1 in sum: as much as a mask and its inverse do by rounding


def feathered(mask: torch.Tensor, radius: float) -> torch.Tensor:
    """A mask (N, H, W) with soft edges; it stays in 0..1, and with a radius of 0 it is the same object.

    radius: how far an edge reaches to each of its sides, as a part of the mask's shorter side, so that it looks the
        same at every resolution; what is farther from an edge keeps its value

    The pixels around each pixel are averaged with weights that fall like a bell and end at the radius. What is outside
    the picture is not counted, so that the borders of the picture are no edges.

    Raises:
        ValueError: the radius is not in 0..1.
    """
    if not (isfinite(radius) and 0 <= radius <= 1):
        raise ValueError(
            f"The radius of a feathered mask is {radius:g}: it is a part of the mask's shorter side, give 0 (a hard "
            "edge) to 1."
        )
    if radius == 0:
        return mask
    pixels = radius * min(mask.shape[-2:])
    down, across = (_bell(size, pixels).to(mask) for size in mask.shape[-2:])
    return (down @ mask @ across.T).clamp(0.0, 1.0)


def inverted(mask: torch.Tensor) -> torch.Tensor:
    """A mask that is white where the given one is black."""
    return 1.0 - mask


def normalised(masks: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """The masks of several references, lowered where they overlap, so that their sum is nowhere more than 1.

    masks: (1 or N, H, W) each, of any size; None: everywhere, which is a white mask and overlaps with all others

    Where the sum is more than 1, each mask is divided by it; elsewhere it keeps its values. A mask that overlaps with
    no other stays the same object. The others become as high as the highest mask and as wide as the widest, because
    masks of one size are placed on the tokens of a block alike, so that their sum is no more than 1 there too.

    Raises:
        ValueError: some masks are for another number of pictures than others.
    """
    like = next((mask for mask in masks if mask is not None), torch.ones(1))
    given = [mask if mask is not None else like.new_ones(1, 1, 1) for mask in masks]
    if len({len(mask) for mask in given} - {1}) > 1:
        raise ValueError(
            f"The masks whose overlap is normalised are for {', '.join(str(len(mask)) for mask in given)} pictures: "
            "each must be one mask for all pictures, or as many as the other masks are."
        )
    size = max((mask.shape[-2] for mask in given), default=1), max((mask.shape[-1] for mask in given), default=1)
    alike = [enlarged(mask, size) for mask in given]
    total = sum(alike, like.new_zeros(1, *size))
    over = total > 1 + OVERLAP
    return [white / total.clamp(min=1.0) if (over & (white > 0)).any() else mask for mask, white in zip(masks, alike)]


def _bell(size: int, radius: float) -> torch.Tensor:
    """The matrix that averages pixels in one direction, (size, size), with a raised cosine. Radius in pixels."""
    places = torch.arange(size, dtype=torch.float64)
    distance = (places[:, None] - places).abs() / radius
    weights = torch.where(distance < 1, 1 + torch.cos(torch.pi * distance), 0.0)
    return weights / weights.sum(1, keepdim=True)


def enlarged(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A mask (N, H, W) at a larger size, or the same object if it has this size."""
    if mask.shape[-2:] == size:
        return mask
    return F.interpolate(mask.unsqueeze(1), size, mode="bilinear", align_corners=False).squeeze(1)
