"""Rows of families for SD1.5, SDXL and Kolors that read features of a recognised face."""

from __future__ import annotations

from .detection import has, lacks, ratio, size
from .family import Family

FACES = (  # specific first
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
    Family(  # for SDXL, only version 2 of FaceID plus is published
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
)
