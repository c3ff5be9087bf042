"""The features of a picture by name, which of them an adapter reads, and which encoder gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Features = Mapping[str, "Tensor"]  # {name: (batch, ...)}
Feature = Literal["image_embeds", "penultimate"]
Negative = Literal["zeros", "encoded zeros", "encoded black"]

DIMENSIONS = {2: "(batch, width)", 3: "(batch, positions, width)"}


@dataclass(frozen=True)
class Reads:
    """A feature that an adapter reads.

    rank: 2, (batch, width), or 3, (batch, positions, width)
    negative: what stands for it in the unconditional rows. "zeros": a feature of zeros. "encoded zeros": what the
        encoder makes of a tensor that is zero *after* normalisation (a picture of the mean colour, not a black one),
        as in the pipelines of tencent-ailab/IP-Adapter. "encoded black": what it makes of a black picture, as in that
        of XLabs-AI/x-flux
    """

    name: Feature
    rank: int
    negative: Negative


# (feature, width) -> the encoder that gives it. The penultimate states of ViT-L/14 are as wide at 224 pixels, but the
# published adapters of that width (Kolors) were trained at 336.
ENCODERS: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        ("image_embeds", 512): "CLIP ViT-B",
        ("image_embeds", 768): "CLIP ViT-L/14",
        ("image_embeds", 1024): "CLIP ViT-H/14",
        ("image_embeds", 1280): "CLIP ViT-bigG/14",
        ("penultimate", 768): "CLIP ViT-B",
        ("penultimate", 1024): "CLIP ViT-L/14-336",
        ("penultimate", 1152): "SigLIP so400m",
        ("penultimate", 1280): "CLIP ViT-H/14",
        ("penultimate", 1664): "CLIP ViT-bigG/14",
    }
)


def encoder_name(feature: str, width: int) -> str:
    """The name of the encoder that gives a feature of this width, or a description if no published one does."""
    return ENCODERS.get((feature, width), f"an encoder whose {feature} is {width} wide")
