"""THE table: one row per checkpoint family. Files that share a layout share the maths and the row.

Other packages refer to a family by its id alone; its names are for people, and may be reworded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .base_models import BASE_MODELS, BaseModel
from .detection import Check, has, holds, lacks, ratio, size
from .features import Reads
from .projection import LinearProjection, TokenMLP
from .resampler import Resampler

Projection = LinearProjection | TokenMLP | Resampler
Part = Literal["image_proj", "ip_adapter", "lora", "others"]

IMAGE_EMBEDS = Reads("image_embeds", 2, "zeros")
PENULTIMATE = Reads("penultimate", 3, "encoded zeros")


@dataclass(frozen=True)
class Hints:
    """What tells families of equal shapes apart, as far as anything does.

    name: of the file with its folders, in lower case. base_model: that its layers are for. dtypes: of its tensors, in
    the words of safetensors.
    """

    name: str
    base_model: str
    dtypes: frozenset[str]


def _no_projection(*_: object, **__: object) -> Projection:
    raise TypeError("A family that is not applied has no projection.")


@dataclass(frozen=True, kw_only=True)
class Family:
    """A layout of the files of adapters, and what shapes cannot say about it.

    id: by which everything else refers to it. name: for people, "FaceID plus". kind: completes "This file is ...".
    detect: what its keys and shapes have to be. like, told_by: of a family whose files have the shapes of another, the
    id of that one, and what tells them apart.
    refusal: why it is not applied, a key of `foreign.REMEDIES`; "" if it is.
    host: the architecture of the models that it is for. base_model: which of them, where the layers cannot tell.
    parts: which a file has, and has nothing else.
    purposes: what its files are for, in the words of the catalogue, the most usual first.
    reads: the features that its projection takes, in this order.
    projection: from_shapes(sd, ops=, device=, dtype=) of its module.
    """

    id: str
    name: str
    kind: str = "an IP-Adapter"
    files: str = ""  # the published files, for people
    detect: tuple[Check, ...] = ()
    like: str = ""
    told_by: Callable[[Hints], bool] = lambda _: True
    refusal: str = ""
    host: str = "unet"
    base_model: str = ""
    parts: tuple[Part, ...] = ("image_proj", "ip_adapter")
    purposes: tuple[str, ...] = ()
    reads: tuple[Reads, ...] = ()
    projection: Callable[..., Projection] = _no_projection

    @property
    def base_models(self) -> tuple[BaseModel, ...]:
        """Those that it may be for, of which its layers tell the one."""
        return tuple(base for base in BASE_MODELS if base.host == self.host and self.base_model in ("", base.name))


FAMILIES = (  # specific first
    # of other architectures
    Family(
        id="sd3-instantx",
        name="InstantX",
        kind="InstantX's IP-Adapter for Stable Diffusion 3.5",
        detect=(has(r"ip_adapter\.\d+\.norm_ip\.linear\."),),
        refusal="architecture",
        host="sd3",
        base_model="SD3.5",
    ),
    Family(
        id="instantcharacter",
        name="InstantCharacter",
        kind="InstantCharacter for Flux",
        detect=(has(r"ip_adapter\.\d+\.norm_ip_q\."),),
        refusal="architecture",
        host="flux",
        base_model="Flux",
    ),
    Family(
        id="flux-instantx",
        name="InstantX",
        kind="InstantX's IP-Adapter for Flux",
        detect=(size("ip_adapter.0.to_k_ip.weight", -1, 4096), lacks(r"ip_adapter\.0\.to_k_ip\.bias")),
        refusal="architecture",
        host="flux",
        base_model="Flux",
    ),
    Family(
        id="hunyuandit",
        name="HunyuanDiT",
        kind="an IP-Adapter for HunyuanDiT",
        detect=(has(r".*kv_proj_ip_adapter\."),),
        refusal="architecture",
        host="hunyuandit",
        base_model="HunyuanDiT",
    ),
    Family(
        id="anima",
        name="Anima",
        kind="an IP-Adapter for Anima",
        detect=(has(r"blocks\.\d+\.ip_k_proj\."),),
        refusal="architecture",
        host="anima",
        base_model="Anima",
    ),
    Family(
        id="anima-pe-core",
        name="PE-Core",
        kind="an IP-Adapter for Anima (PE-Core)",
        detect=(has(r"ip_gate\b|ip_centroid\b"),),
        refusal="architecture",
        host="anima",
        base_model="Anima",
    ),
    # relatives of the IP-Adapter
    Family(
        id="pulid-flux",
        name="PuLID",
        kind="PuLID for Flux",
        detect=(has(r"pulid_ca\."),),
        refusal="faces",
        host="flux",
        base_model="Flux",
    ),
    Family(
        id="pulid-sdxl",
        name="PuLID",
        kind="PuLID for SDXL",
        detect=(
            has(r"id_adapter_attn_layers\.|ip_adapter\.\d+\.id_to_k|image_proj\.(mapping_0|id_embedding_mapping)\."),
        ),
        refusal="faces",
        base_model="SDXL",
    ),
    Family(
        id="redux",
        name="FLUX.1 Redux",
        kind="FLUX.1 Redux",
        detect=(has(r"redux_up\."),),
        refusal="style model",
        host="flux",
        base_model="Flux",
    ),
    Family(
        id="uso",
        name="USO's style projector",
        kind="USO's style projector",
        detect=(has(r"feature_embedder\."),),
        refusal="model patch",
        host="flux",
        base_model="Flux",
    ),
    Family(
        id="photomaker-v2",
        name="PhotoMaker v2",
        kind="PhotoMaker v2",
        detect=(has(r"id_encoder\.qformer_"),),
        refusal="photomaker v2",
        base_model="SDXL",
    ),
    Family(
        id="photomaker",
        name="PhotoMaker",
        kind="PhotoMaker",
        detect=(has(r"id_encoder\."),),
        refusal="photomaker",
        base_model="SDXL",
    ),
    Family(
        id="csgo",
        name="CSGO",
        kind="CSGO",
        detect=(has(r"content_image_proj\."),),
        refusal="architecture",
        base_model="SDXL",
    ),
    Family(
        id="instruct",
        name="IP-Adapter-Instruct",
        kind="IP-Adapter-Instruct",
        detect=(has(r"image_proj\.proj_new_input\."),),
        refusal="instructions",
    ),
    Family(
        id="infiniteyou",
        name="InfiniteYou",
        kind="InfiniteYou's image projection",
        detect=(size("image_proj.proj_in.weight", -1, 512), size("image_proj.proj_out.weight", 0, 4096)),
        refusal="faces",
        host="flux",
        base_model="Flux",
    ),
    Family(
        id="art",
        name="IP-Adapter-Art",
        kind="IP-Adapter-Art",
        detect=(
            has(r"image_proj\.image_embeds\."),
            size("image_proj.image_embeds.weight", -1, 768),
            size("image_proj.norm.weight", 0, 2048),
        ),
        refusal="style encoder",
        base_model="SDXL",
    ),
    # of faces
    Family(
        id="faceid",
        name="FaceID",
        kind="a FaceID adapter",
        detect=(has(r"lora\.\d+\.to_[qkv]\."), lacks(r"image_proj\.(perceiver_resampler\.|proj_in\.)")),
        refusal="faces",
        parts=("image_proj", "ip_adapter", "lora"),
        purposes=("FaceID",),
    ),
    Family(
        id="kolors-faceid-plus",
        name="Kolors FaceID plus",
        kind="Kolors' FaceID-Plus adapter",
        detect=(has(r"image_proj\.perceiver_resampler\."), size("image_proj.norm.weight", 0, 4096)),
        refusal="faces",
        base_model="Kolors",
        purposes=("FaceID plus",),
    ),
    Family(
        id="faceid-plus",
        name="FaceID plus",
        kind="a FaceID plus adapter",
        detect=(has(r"image_proj\.perceiver_resampler\."),),
        refusal="faces",
        parts=("image_proj", "ip_adapter", "lora"),
        purposes=("FaceID plus",),
    ),
    Family(  # of SDXL's FaceID plus only the second version is published
        id="faceid-plus-v2",
        name="FaceID plus v2",
        kind="a FaceID plus adapter",
        like="faceid-plus",
        told_by=lambda hints: hints.base_model == "SDXL" or "v2" in hints.name,
        refusal="faces",
        parts=("image_proj", "ip_adapter", "lora"),
        purposes=("FaceID plus v2",),
    ),
    Family(
        id="faceid-portrait",
        name="FaceID portrait",
        kind="a FaceID portrait adapter",
        detect=(
            ratio("image_proj.proj.2.weight", "image_proj.norm.weight", least=2),
            lacks(r"image_proj\.proj_in\."),
        ),
        refusal="faces",
        purposes=("FaceID portrait",),
    ),
    Family(
        id="faceid-portrait-unnorm",
        name="FaceID portrait unnorm",
        kind="InstantID or a FaceID portrait adapter",
        detect=(size("image_proj.proj_in.weight", -1, 512),),
        refusal="faces",
        purposes=("FaceID portrait unnorm",),
    ),
    Family(
        id="instantid",
        name="InstantID",
        kind="InstantID or a FaceID portrait adapter",
        like="faceid-portrait-unnorm",
        told_by=lambda hints: "instant" in hints.name or hints.dtypes <= {"F32"} and "faceid" not in hints.name,
        refusal="faces",
    ),
    # of pictures
    Family(
        id="kolors-plus",
        name="Kolors plus",
        files="Kolors-IP-Adapter-Plus",
        detect=(
            holds("image_proj", "latents", "proj_in.weight"),
            size("image_proj.latents", -1, 2048),
            size("image_proj.proj_in.weight", -1, 1024),
        ),
        base_model="Kolors",
        purposes=("plus",),
        reads=(PENULTIMATE,),
        projection=Resampler.from_shapes,
    ),
    Family(
        id="plus",
        name="plus",
        files="ip-adapter-plus, ip-adapter-plus-face (SD1.5, SDXL ViT-H), ip_plus_composition",
        detect=(holds("image_proj", "latents", "proj_in.weight"),),
        purposes=("plus", "composition", "plus face"),
        reads=(PENULTIMATE,),
        projection=Resampler.from_shapes,
    ),
    Family(
        id="flux-xlabs",
        name="XLabs",
        kind="an XLabs IP-Adapter for Flux",
        files="flux-ip-adapter, flux-ip-adapter-v2",
        detect=(
            holds("image_proj", "proj.weight", "norm.weight"),
            size("image_proj.norm.weight", 0, 4096),
            has(r"ip_adapter\.\d+\.to_k_ip\.bias"),
        ),
        host="flux",
        base_model="Flux",
        purposes=("standard",),
        reads=(Reads("image_embeds", 2, "encoded black"),),
        projection=LinearProjection.from_shapes,
    ),
    Family(
        id="full-face",
        name="full-face",
        files="ip-adapter-full-face_sd15",
        detect=(holds("image_proj", "proj.0.weight", "proj.2.weight", "norm.weight"),),
        purposes=("full face",),
        reads=(PENULTIMATE,),
        projection=TokenMLP.from_shapes,
    ),
    Family(
        id="base",
        name="base",
        files="ip-adapter_sd15, _light, _light_v11, _vit-G, ip-adapter_sdxl, _sdxl_vit-h, noobIPAMARK1_mark1",
        detect=(holds("image_proj", "proj.weight", "norm.weight"),),
        purposes=("standard", "vit-G", "light", "NoobAI"),
        reads=(IMAGE_EMBEDS,),
        projection=LinearProjection.from_shapes,
    ),
)

APPLIED = tuple(family for family in FAMILIES if not family.refusal)
APPLIED_TO = tuple(  # names of base models, in the order of their table
    base.name for base in BASE_MODELS if any(base in family.base_models for family in APPLIED)
)


def told_apart(family: Family, hints: Hints) -> Family:
    """This family, or the one of equal shapes that the hints speak for."""
    return next((each for each in FAMILIES if each.like == family.id and each.told_by(hints)), family)


def purposes() -> tuple[str, ...]:
    """What there are adapters for, of applied families first."""
    rows = sorted(FAMILIES, key=lambda family: bool(family.refusal))
    return tuple(dict.fromkeys(purpose for family in rows for purpose in family.purposes))
