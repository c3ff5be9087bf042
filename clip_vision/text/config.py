"""What has to be known to build a text encoder."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Kind


@dataclass(frozen=True)
class TextTraits:
    """What text encoders of one kind have in common.

    causal: a token sees those before it alone, and the first end token stands for the text; otherwise all tokens see
        each other, and the last one of a fixed number does, padding or not
    projection_bias: the projection has a bias
    activation: a key of `layers.ACTIVATIONS`; None: that of the image encoder
    """

    norm_eps: float
    causal: bool = True
    projection_bias: bool = False
    activation: str | None = None


TEXT_TRAITS: dict[Kind, TextTraits] = {  # the kinds of image encoders that have a text encoder
    "clip": TextTraits(1e-5),
    "eva": TextTraits(1e-5, activation="gelu"),
    "pe": TextTraits(1e-5, activation="gelu"),
    "siglip": TextTraits(1e-6, causal=False, projection_bias=True, activation="gelu_pytorch_tanh"),
}


@dataclass(frozen=True)
class TextConfig:
    """One text encoder: sizes counted in the state dict, the rest from the image encoder beside it.

    name: of the whole model, as its image encoder has it
    kind: of the image encoder, a key of TEXT_TRAITS
    context: tokens of a text at most, with start and end
    vocabulary: different tokens
    projection: numbers of a text's vector
    activation: a key of `layers.ACTIVATIONS`
    """

    name: str
    kind: Kind
    width: int
    depth: int
    heads: int
    mlp_width: int
    context: int
    vocabulary: int
    projection: int
    activation: str

    @property
    def traits(self) -> TextTraits:
        return TEXT_TRAITS[self.kind]
