"""What has to be known to build an image encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["clip", "siglip"]
Rgb = tuple[float, float, float]

NORM_EPS: dict[Kind, float] = {"clip": 1e-5, "siglip": 1e-6}


@dataclass(frozen=True)
class VisionConfig:
    """One image encoder: sizes counted in the state dict, the rest from a row of `presets.PRESETS`.

    `kind` "clip" has a class token, a norm before the first layer and (usually) a projection; "siglip" has neither
    but (usually) an attention pooling head. `activation` is a key of `layers.ACTIVATIONS`. `mean` and `std` are per
    RGB channel of a picture in 0..1.
    """

    name: str
    kind: Kind
    width: int
    depth: int
    heads: int
    mlp_width: int
    patch: int
    grid: int  # patches along one side
    image_size: int  # pixels along one side; may exceed grid * patch (SigLIP so400m reads 378 of its 384)
    activation: str
    mean: Rgb
    std: Rgb
    projection: int | None  # width of image_embeds; None where the file has no projection
    pooling_head: bool  # SigLIP's attention pooling is in the file

    @property
    def has_class_token(self) -> bool:
        return self.kind == "clip"

    @property
    def tokens(self) -> int:
        """Length of the hidden states: patches, and one class token for CLIP."""
        return self.grid**2 + self.has_class_token

    @property
    def norm_eps(self) -> float:
        return NORM_EPS[self.kind]
