"""Rows of families for Flux."""

from __future__ import annotations

from ..features import Reads
from .detection import has, holds, lacks, size
from .family import Family

FLUX = (  # specific first
    Family(
        id="instantcharacter",
        name="InstantCharacter",
        kind="InstantCharacter for Flux",
        detect=(has(r"ip_adapter\.\d+\.norm_ip_q\."),),
        refusal="flux",
        host="flux",
        base_model="Flux",
    ),
    Family(
        id="flux-instantx",
        name="InstantX",
        kind="InstantX's IP-Adapter for Flux",
        detect=(size("ip_adapter.0.to_k_ip.weight", -1, 4096), lacks(r"ip_adapter\.0\.to_k_ip\.bias")),
        refusal="flux",
        host="flux",
        base_model="Flux",
    ),
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
        id="infiniteyou",
        name="InfiniteYou",
        kind="InfiniteYou's image projection",
        detect=(size("image_proj.proj_in.weight", -1, 512), size("image_proj.proj_out.weight", 0, 4096)),
        refusal="faces",
        host="flux",
        base_model="Flux",
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
        projection="linear",
    ),
)
