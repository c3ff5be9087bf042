"""THE table: one row per checkpoint family. Files that share a layout share the maths and the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .loading import StateDict
from .projection import LinearProjection, TokenMLP
from .resampler import Resampler

Projection = LinearProjection | TokenMLP | Resampler
Feature = Literal["image_embeds", "penultimate"]
Negative = Literal["zeros", "encoded zeros"]


@dataclass(frozen=True)
class BaseModel:
    """A UNet as adapters see it: how many cross-attentions, the width of the text context, and of the vector that
    joins the timestep (0: there is none). Kolors has SDXL's layers, so its adapters are found by their projection.
    """

    name: str
    layers: int
    context_width: int
    vector_width: int


BASE_MODELS = (BaseModel("SD1.5", 16, 768, 0), BaseModel("SDXL", 70, 2048, 2816))
KOLORS = BaseModel("Kolors", 70, 2048, 5632)

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
    """The encoder with this feature width, or a description where no published one has it."""
    return ENCODERS.get((feature, width), f"an encoder whose {feature} is {width} wide")


@dataclass(frozen=True)
class Family:
    """A layout of the image projection and what shapes cannot say about it.

    negative: what the unconditional rows attend to. "zeros": the projection of a zero feature. "encoded zeros": the
    projection of what the encoder makes of a zero tensor *after* normalisation (a picture of the mean colour, not a
    black one), as in the original pipelines.
    """

    name: str
    files: str  # the published files, for people
    signature: frozenset[str]  # keys of the projection that tell the family
    feature: Feature
    negative: Negative
    projection: Callable[..., Projection]  # from_shapes(sd, ops=, device=, dtype=)
    widths: Mapping[str, int] = field(default_factory=dict[str, int])  # last dimension of these tensors
    base_model: str = ""  # where the layers cannot tell: Kolors has SDXL's UNet

    def objection(self, image_proj: StateDict) -> str:
        """Why this projection is not of this family; empty if it is."""
        if missing := sorted(self.signature - image_proj.keys()):
            return f"no {', '.join(missing)}"
        for key, width in self.widths.items():
            if image_proj[key].shape[-1:] != (width,):
                return f"{key} is {list(image_proj[key].shape)}, not {width} wide"
        return ""


FAMILIES = (  # specific first
    Family(
        "Kolors plus",
        "Kolors-IP-Adapter-Plus",
        frozenset({"latents", "proj_in.weight"}),
        feature="penultimate",
        negative="encoded zeros",
        projection=Resampler.from_shapes,
        widths={"latents": 2048, "proj_in.weight": 1024},
        base_model="Kolors",
    ),
    Family(
        "plus",
        "ip-adapter-plus, ip-adapter-plus-face (SD1.5, SDXL ViT-H), ip_plus_composition",
        frozenset({"latents", "proj_in.weight"}),
        feature="penultimate",
        negative="encoded zeros",
        projection=Resampler.from_shapes,
    ),
    Family(
        "full-face",
        "ip-adapter-full-face_sd15",
        frozenset({"proj.0.weight", "proj.2.weight", "norm.weight"}),
        feature="penultimate",
        negative="encoded zeros",
        projection=TokenMLP.from_shapes,
    ),
    Family(
        "base",
        "ip-adapter_sd15, _light, _light_v11, _vit-G, ip-adapter_sdxl, _sdxl_vit-h, noobIPAMARK1_mark1",
        frozenset({"proj.weight", "norm.weight"}),
        feature="image_embeds",
        negative="zeros",
        projection=LinearProjection.from_shapes,
    ),
)
