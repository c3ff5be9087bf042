"""Rows of families for models that no adapter is applied to here: HunyuanDiT, Anima."""

from __future__ import annotations

from ..features import Reads
from .detection import has
from .family import Family

WITHOUT_HOST = (  # specific first
    Family(
        id="hunyuandit",
        name="HunyuanDiT",
        kind="an IP-Adapter for HunyuanDiT",
        detect=(has(r".*kv_proj_ip_adapter\."),),
        refusal="no patch point",
        host="hunyuandit",
        base_model="HunyuanDiT",
    ),
    Family(
        id="anima",
        name="Anima",
        kind="an IP-Adapter for Anima",
        detect=(has(r"ip_adapter\.\d+\.gate\."),),
        refusal="architecture",
        host="anima",
        base_model="Anima",
        parts=("ip_adapter",),
        optional=("image_proj", "lora"),
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
        refusal="architecture",
        host="anima",
        base_model="Anima",
    ),
)
