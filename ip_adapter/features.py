"""The features of a picture by name, which of them an adapter reads, and which encoder gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Features = Mapping[str, "Tensor"]  # {name: (batch, ...)}
Feature = Literal[
    "image_embeds",
    "penultimate",
    "last",
    "face_embeds",  # (R, 512), the identity of a face, L2-normalised
    "face_embeds_raw",  # (R, 512), the same as the network gives it
    "face_penultimate",  # penultimate hidden states of the aligned face
    "face_box_penultimate",  # penultimate hidden states of the square around the face
    "face_eva_embeds",  # (R, 768), image_embeds of the face, L2-normalised
    "face_eva_hidden",  # (R, 5 * N, W), five hidden states of the face, one after the other
    "instruction",  # (R, N, W), last hidden states of a text that says what to take from the picture
    "prompt",  # (R, N, W), last hidden states of the prompt
    "character_shallow",  # (R, 3 * N, W), of three layers, one after the other; W is that of SigLIP plus that of DINOv2
    "character_deep",  # (R, N, W), last hidden states of both encoders
    "character_pieces",  # (R, 4 * N, W), the same of the quarters of the picture, one after the other
]
Negative = Literal["zeros", "encoded zeros", "encoded black", "empty text", "none", "null tokens"]

DIMENSIONS = {2: "(batch, width)", 3: "(batch, positions, width)"}


@dataclass(frozen=True)
class Reads:
    """A feature that an adapter reads.

    rank: 2, (batch, width), or 3, (batch, positions, width)
    negative: what stands for it in the unconditional rows. "zeros": a feature of zeros. "encoded zeros": what the
        encoder makes of a tensor that is zero *after* normalisation (a picture of the mean colour, not a black one),
        as in the pipelines of tencent-ailab/IP-Adapter. "encoded black": what it makes of a black picture, as in that
        of XLabs-AI/x-flux. "empty text": what the text encoder makes of no text. "none": these rows attend to no
        picture. "null tokens": the tokens that the file has for them; without such tokens as "none"
    encoder: name of the image encoder that gives it, where the name and the width of the feature do not say it
    """

    name: Feature
    rank: int
    negative: Negative
    encoder: str = ""

    def encoder_name(self, width: int) -> str:
        """The image encoder that gives the feature; "" if something else does, as with the identity of a face."""
        return self.encoder or ("" if self.name in NOT_ENCODED else encoder_name(self.name, width))


# (feature, width) -> the encoder that gives it. The penultimate states of ViT-L/14 are as wide at 224 pixels, but the
# published adapters of that width (Kolors) were trained at 336.
ENCODERS: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        ("image_embeds", 512): "CLIP ViT-B",
        ("image_embeds", 768): "CLIP ViT-L/14",
        ("image_embeds", 1024): "CLIP ViT-H/14",
        ("image_embeds", 1152): "SigLIP so400m",
        ("image_embeds", 1280): "CLIP ViT-bigG/14",
        ("penultimate", 768): "CLIP ViT-B",
        ("penultimate", 1024): "CLIP ViT-L/14-336",
        ("penultimate", 1152): "SigLIP so400m",
        ("penultimate", 1280): "CLIP ViT-H/14",
        ("penultimate", 1664): "CLIP ViT-bigG/14",
        ("last", 768): "SigLIP2 base/16-512",
        ("face_penultimate", 1280): "CLIP ViT-H/14",
        ("face_box_penultimate", 1024): "CLIP ViT-L/14-336",
        ("face_eva_embeds", 768): "EVA02-CLIP-L-336",
        ("face_eva_hidden", 1024): "EVA02-CLIP-L-336",
    }
)
POOLED = ("image_embeds", "face_eva_embeds")  # features that come of the projection of an image encoder
NOT_ENCODED = ("face_embeds", "face_embeds_raw", "instruction", "prompt")  # features that no image encoder gives
GIVEN = {  # features of faces -> what the encoder calls them, to which the face is a picture like any other
    "face_penultimate": "penultimate",
    "face_box_penultimate": "penultimate",
    "face_eva_embeds": "image_embeds",
    "face_eva_hidden": "penultimate",
}


def encoder_name(feature: str, width: int) -> str:
    """The name of the encoder that gives a feature of this width, or a description if no published one does."""
    return ENCODERS.get((feature, width), f"an encoder whose {GIVEN.get(feature, feature)} is {width} wide")
