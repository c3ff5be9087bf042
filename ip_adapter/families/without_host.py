"""Rows of families for models that no adapter is applied to here: HunyuanDiT."""

from __future__ import annotations

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
)
