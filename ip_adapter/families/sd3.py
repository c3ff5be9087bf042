"""Rows of families for Stable Diffusion 3.5."""

from __future__ import annotations

from ..features import Reads
from .detection import has
from .family import Family

SD3 = (
    Family(
        id="sd3-instantx",
        name="InstantX",
        kind="InstantX's IP-Adapter for Stable Diffusion 3.5",
        detect=(has(r"ip_adapter\.\d+\.norm_ip\.linear\."),),
        files="SD3.5-Large-IP-Adapter",
        host="sd3",
        base_model="SD3.5 Large",
        blocks={"joint": 1},
        layer="timed",
        like_text=False,
        purposes=("standard",),
        reads=(Reads("penultimate", 3, "zeros"),),
        projection="time resampler",
        combine="joint",
    ),
)
