"""Rows of families for SD1.5, SDXL and Kolors that read features of a whole picture."""

from __future__ import annotations

from ..features import Reads
from .detection import has, holds, size
from .family import IMAGE_EMBEDS, INSTRUCTIONS, PENULTIMATE, STYLE, Family

UNET = (  # specific first
    Family(
        id="csgo",
        name="CSGO",
        files="csgo, csgo_4_32",
        detect=(has(r"image_proj\.content\."), has(r"image_proj\.style\.")),
        base_model="SDXL",
        purposes=("style and content",),
        reads=(Reads("penultimate", 3, "zeros"),),
        projection="content and style",
        layer_sets="CSGO",
        blocks={"input": 1, "output": 1},
    ),
    Family(
        id="instruct",
        name="IP-Adapter-Instruct",
        files="ip-adapter-instruct-sd15, -sdxl",
        detect=(holds("image_proj", "latents"), has(r"image_proj\.proj_new_input\.")),
        purposes=("instruct",),
        reads=(PENULTIMATE, *INSTRUCTIONS),
        projection="instruct",
    ),
    Family(  # the files of base adapters for SD1.5 may have the same key; theirs is for SDXL
        id="art",
        name="IP-Adapter-Art",
        files="ip_adapter_art_sdxl_512",
        detect=(
            has(r"image_proj\.image_embeds\."),
            size("image_proj.image_embeds.weight", -1, 768),
            size("image_proj.norm.weight", 0, 2048),
        ),
        base_model="SDXL",
        purposes=("style",),
        reads=(STYLE,),
        projection="linear",
    ),
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
        projection="resampler",
    ),
    Family(
        id="plus",
        name="plus",
        files="ip-adapter-plus, ip-adapter-plus-face (SD1.5, SDXL ViT-H), ip_plus_composition",
        detect=(holds("image_proj", "latents", "proj_in.weight"),),
        purposes=("plus", "composition", "plus face"),
        reads=(PENULTIMATE,),
        projection="resampler",
    ),
    Family(
        id="full-face",
        name="full-face",
        files="ip-adapter-full-face_sd15",
        detect=(holds("image_proj", "proj.0.weight", "proj.2.weight", "norm.weight"),),
        purposes=("full face",),
        reads=(PENULTIMATE,),
        projection="mlp",
    ),
    Family(
        id="base",
        name="base",
        files="ip-adapter_sd15, _light, _light_v11, _vit-G, ip-adapter_sdxl, _sdxl_vit-h, noobIPAMARK1_mark1",
        detect=(holds("image_proj", "proj.weight", "norm.weight"),),
        purposes=("standard", "vit-G", "light", "NoobAI"),
        reads=(IMAGE_EMBEDS,),
        projection="linear",
    ),
)
