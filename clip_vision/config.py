"""What has to be known to build an image encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["clip", "siglip", "eva", "csd"]
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Traits:
    """What encoders of one kind have in common.

    class_token: before the patches. CLIP's features are made of it; without it there may be an attention pooling head
    patch_bias: the patch embedding has a bias
    pre_norm: a norm before the first layer
    projection_bias: the projection of the class token has a bias
    rotary: the layers are those of `eva`, which turn queries and keys by their place
    normalised: image_embeds are L2-normalised
    """

    title: str
    norm_eps: float
    class_token: bool = True
    patch_bias: bool = False
    pre_norm: bool = False
    projection_bias: bool = False
    rotary: bool = False
    normalised: bool = False


TRAITS: dict[Kind, Traits] = {
    "clip": Traits("CLIP", 1e-5, pre_norm=True),
    "siglip": Traits("SigLIP", 1e-6, class_token=False, patch_bias=True),
    "eva": Traits("EVA02-CLIP", 1e-6, patch_bias=True, projection_bias=True, rotary=True),
    "csd": Traits("CSD", 1e-5, pre_norm=True, normalised=True),
}


@dataclass(frozen=True)
class VisionConfig:
    """One image encoder: sizes counted in the state dict, the rest from a row of `presets.PRESETS`.

    `kind` is a key of TRAITS: "clip" has a class token, a norm before the first layer and (usually) a projection;
    "siglip" has neither but (usually) an attention pooling head; "eva" is CLIP with the layers of EVA-02; "csd" is a
    CLIP that was tuned for styles. `activation` is a key of `layers.ACTIVATIONS`. `mean` and `std` are per RGB channel
    of a picture in 0..1.
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
    def traits(self) -> Traits:
        return TRAITS[self.kind]

    @property
    def has_class_token(self) -> bool:
        return self.traits.class_token

    @property
    def tokens(self) -> int:
        """Length of the hidden states: patches, and one class token except for SigLIP."""
        return self.grid**2 + self.has_class_token

    @property
    def norm_eps(self) -> float:
        return self.traits.norm_eps
