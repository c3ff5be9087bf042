"""Rows of families for Anima."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..features import Reads
from .detection import has
from .family import Family

TRAINED = {  # what a file may say of its training in its metadata -> what it would mean
    "ip_norm_keys": "its keys are normed",
    "ip_inject_before_mlp": "it acts before the MLP of a block and not after the block",
}


def _objection(metadata: Mapping[str, str]) -> str:
    """Why a file that says this of itself is not applied. No published file does, and no code says how it would act."""
    said = (f"{key} ({meaning})" for key, meaning in TRAINED.items() if metadata.get(key, "").lower() == "true")
    if found := next(said, ""):
        return f"This adapter for Anima was trained with {found}, which is not supported: choose one without it."
    alpha, rank = (metadata.get(key, "") for key in ("lora_alpha", "lora_rank"))
    if alpha and rank and _number(alpha) != _number(rank):
        return (
            f"The LoRA of this adapter for Anima has the alpha {alpha} and the rank {rank}, which is not supported: "
            "choose an adapter where they are equal."
        )
    return ""


def _number(text: str) -> float:
    """The number that a text says; NaN, which equals none, if it says another thing."""
    try:
        return float(text)
    except ValueError:
        return math.nan


ANIMA = (  # specific first
    Family(
        id="anima-shared",
        name="shared layers",
        kind="an IP-Adapter for Anima whose blocks share their layers",
        detect=(has(r"shared_ip_"),),
        refusal="shared layers",
        host="anima",
        base_model="Anima",
    ),
    Family(
        id="anima",
        name="Anima",
        kind="an IP-Adapter for Anima",
        files="ip_adapter-Character_Reference-10",
        detect=(has(r"ip_adapter\.\d+\.gate\."),),
        host="anima",
        base_model="Anima",
        parts=("ip_adapter",),
        optional=("image_proj", "lora"),
        objection=_objection,
        blocks={"block": 1},
        acts="block",
        layer="gated",
        like_text=False,
        purposes=("standard", "character"),
        reads=(Reads("last", 3, "null tokens"),),
        projection="anima",
        combine="gated",
    ),
    Family(
        id="anima-pe-core",
        name="PE-Core",
        kind="an IP-Adapter for Anima (PE-Core)",
        detect=(has(r"ip_gate\b|ip_centroid\b"),),
        refusal="shape of pictures",
        host="anima",
        base_model="Anima",
    ),
)
