"""Encoders for pictures of another size than they were trained with. Letters: N positions, W width."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import VisionConfig

LARGEST = 2048  # pixels; an encoder with patches of 14 makes 21,000 tokens of so many


class WrongSize(ValueError):
    """An encoder cannot read pictures of this size. Another size is needed, not another file."""


def at_size(config: VisionConfig, image_size: int | None) -> VisionConfig:
    """The encoder for square pictures of so many pixels along a side; None keeps its own size.

    WrongSize: they are too few or too many, or no whole patches and the encoder leaves no pixels out.
    """
    if image_size is None or image_size == config.image_size:
        return config
    patch = config.patch
    if type(image_size) is not int or not patch <= image_size <= LARGEST:
        raise WrongSize(
            f"Pictures of {image_size!r:.80} pixels: give a whole number from {patch} to {LARGEST}, or leave it at "
            f"that of {config.name}, {config.image_size}."
        )
    if image_size % patch and not config.traits.spare_pixels:
        below = image_size // patch * patch
        raise WrongSize(
            f"Pictures of {image_size} pixels are no whole number of the patches of {config.name}, which are {patch} "
            f"pixels wide: give {below} or {below + patch}, or leave it at its own {config.image_size}."
        )
    return replace(config, image_size=image_size, grid=image_size // patch)


def stretched(positions: Tensor, config: VisionConfig) -> Tensor:
    """Position embeddings (N, W) as this encoder has them: interpolated to its grid as its authors or transformers do.

    That of the class token stays as it is.
    """
    if len(positions) == config.places:
        return positions
    first = int(config.has_class_token)
    side = round((len(positions) - first) ** 0.5)
    grid = positions[first:].float().T.reshape(1, config.width, side, side)
    smooth = config.registers > 0  # DINOv2 was trained so with registers, and without them not
    wider = F.interpolate(grid, (config.grid, config.grid), mode=config.traits.places_by, antialias=smooth)[0]
    return torch.cat((positions[:first], wider.flatten(1).T.to(positions.dtype)))
