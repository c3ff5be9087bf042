"""What has to be known to build an image encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["clip", "siglip", "eva", "csd", "dino", "pe"]
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Angles:
    """The angles by which `rotary` turns queries and keys: how they count the rows and columns of patches.

    columns_first: the first half of the angles tells the column, the second the row; otherwise the other way round
    from_one: beside a class token, which is at 0, the patches are counted from 1
    side: larger grids are squeezed into the angles of so many patches a side; None: every patch is one step
    """

    columns_first: bool = False
    from_one: bool = False
    side: int | None = None


@dataclass(frozen=True)
class Traits:
    """What encoders of one kind have in common.

    class_token: before the patches. CLIP's features are made of it; without it there may be an attention pooling head.
        None: some have one
    patch_bias: the patch embedding has a bias
    pre_norm: a norm before the first layer
    projects: "class token", as CLIP does it, "pooled", the output of the pooling head, or "" without a projection
    projection_bias: the projection has a bias
    normalised: image_embeds are L2-normalised
    normed_last: the feature `last` has passed the last norm
    angles: of the turns of queries and keys; None: they are not turned
    inner_norms: a norm before the last matrix of each attention and of each mlp
    layer_scales: what an attention and an mlp give is multiplied by weights
    gated: the mlps have gates. None: some have
    pooling_heads: of the attention of the pooling head, whose mlp is four times as wide as it; None: as in the layers
    places_by: how position embeddings are interpolated, a mode of torch's `interpolate`
    spare_pixels: pictures may be of any size: pixels beyond the last whole patch are left out
    """

    title: str
    norm_eps: float
    class_token: bool | None = True
    patch_bias: bool = False
    pre_norm: bool = False
    projects: Literal["class token", "pooled", ""] = "class token"
    projection_bias: bool = False
    normalised: bool = False
    normed_last: bool = False
    angles: Angles | None = None
    inner_norms: bool = False
    layer_scales: bool = False
    gated: bool | None = False
    pooling_heads: int | None = None
    places_by: str = "bicubic"
    spare_pixels: bool = False


TRAITS: dict[Kind, Traits] = {
    "clip": Traits("CLIP", 1e-5, pre_norm=True),
    "siglip": Traits("SigLIP", 1e-6, class_token=False, patch_bias=True, projects="", normed_last=True),
    "eva": Traits(
        "EVA02-CLIP",
        1e-6,
        patch_bias=True,
        projection_bias=True,
        angles=Angles(side=16),
        inner_norms=True,
        gated=True,
    ),
    "csd": Traits("CSD", 1e-5, pre_norm=True, normalised=True),
    "dino": Traits(
        "DINOv2",
        1e-6,
        patch_bias=True,
        projects="",
        normed_last=True,
        layer_scales=True,
        gated=None,
        spare_pixels=True,
    ),
    "pe": Traits(
        "PE-Core",
        1e-5,
        class_token=None,
        pre_norm=True,
        projects="pooled",
        projection_bias=True,
        normed_last=True,
        angles=Angles(columns_first=True, from_one=True),
        pooling_heads=8,
        places_by="bilinear",
    ),
}


@dataclass(frozen=True)
class VisionConfig:
    """One image encoder: sizes counted in the state dict, the rest from a row of `presets.PRESETS`.

    `kind` is a key of TRAITS: "clip" has a class token, a norm before the first layer and (usually) a projection;
    "siglip" has neither but (usually) an attention pooling head; "eva" is CLIP with the layers of EVA-02; "csd" is a
    CLIP that was tuned for styles; "dino" is DINOv2, which saw no texts and has no projection; "pe" is PE-Core, which
    projects what its attention pooling head gives. `activation` is a key of `layers.ACTIVATIONS`. `mean` and `std` are
    per RGB channel of a picture in 0..1.
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
    has_class_token: bool
    registers: int  # tokens between the class token and the patches that stand for no place
    gated: bool  # the mlps have gates
    activation: str
    mean: Rgb
    std: Rgb
    projection: int | None  # width of image_embeds; None where the file has no projection
    pooling_head: bool  # an attention pooling head is in the file

    @property
    def traits(self) -> Traits:
        return TRAITS[self.kind]

    @property
    def places(self) -> int:
        """How many position embeddings there are: of the patches, and of the class token if there is one."""
        return self.grid**2 + self.has_class_token

    @property
    def first_patch(self) -> int:
        """The place of the first patch in the hidden states."""
        return self.has_class_token + self.registers

    @property
    def tokens(self) -> int:
        """Length of the hidden states: the class token, the registers and the patches, as far as there are any."""
        return self.first_patch + self.grid**2

    @property
    def norm_eps(self) -> float:
        return self.traits.norm_eps
