"""Small random files in the published layout: true feature and context widths, narrow blocks and resamplers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

Parts = dict[str, dict[str, Tensor]]

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
NARROW = {320: 32, 640: 64, 1280: 128}


def linear(key: str, out: int, width: int, bias: bool = True) -> dict[str, Tensor]:
    weights = {f"{key}.weight": torch.randn(out, width) / width**0.5}
    return weights | {f"{key}.bias": torch.randn(out) * 0.02} if bias else weights


def norm(key: str, width: int) -> dict[str, Tensor]:
    return {f"{key}.weight": 1 + 0.1 * torch.randn(width), f"{key}.bias": 0.02 * torch.randn(width)}


def base(context: int, embeds: int = 1024, tokens: int = 4) -> dict[str, Tensor]:
    return linear("proj", tokens * context, embeds) | norm("norm", context)


def full_face(context: int, width: int = 1280) -> dict[str, Tensor]:
    return linear("proj.0", width, width) | linear("proj.2", context, width) | norm("proj.3", context)


def resampler(context: int, width: int = 1280, dim: int = 64, heads: int = 2, depth: int = 4) -> dict[str, Tensor]:
    inner = heads * 64
    sd = {"latents": torch.randn(1, 16, dim) / dim**0.5}
    sd |= linear("proj_in", dim, width) | linear("proj_out", context, dim) | norm("norm_out", context)
    for n in range(depth):
        sd |= norm(f"layers.{n}.0.norm1", dim) | norm(f"layers.{n}.0.norm2", dim)
        sd |= linear(f"layers.{n}.0.to_q", inner, dim, bias=False)
        sd |= linear(f"layers.{n}.0.to_kv", inner * 2, dim, bias=False)
        sd |= linear(f"layers.{n}.0.to_out", dim, inner, bias=False)
        sd |= norm(f"layers.{n}.1.0", dim)
        sd |= linear(f"layers.{n}.1.1", dim * 4, dim, bias=False) | linear(f"layers.{n}.1.3", dim, dim * 4, bias=False)
    return sd


def layers(published: str) -> dict[str, Tensor]:
    """The per-layer part of a published file, with narrow blocks."""
    shapes = json.loads((CHECKPOINTS / f"{published}.json").read_text())["tensors"]["ip_adapter"]
    return {key: torch.randn(NARROW[rows], context) / context**0.5 for key, (rows, context) in shapes.items()}


PROJECTIONS: dict[str, Callable[..., dict[str, Tensor]]] = {
    "base": base,
    "full-face": full_face,
    "plus": resampler,
    "Kolors plus": lambda context: resampler(context, width=1024, dim=2048, heads=12, depth=1),
}
UNETS = {"SD1.5": (768, "ip-adapter_sd15"), "SDXL": (2048, "ip-adapter_sdxl")}


@pytest.fixture
def make_file() -> Callable[..., Parts]:
    """make_file(family, unet) -> {"image_proj": {...}, "ip_adapter": {...}} as in a published .bin."""

    def make(family: str = "base", unet: str = "SD1.5", **sizes: int) -> Parts:
        context, published = UNETS[unet]
        return {"image_proj": PROJECTIONS[family](context, **sizes), "ip_adapter": layers(published)}

    return make


@pytest.fixture
def flatten() -> Callable[[Parts], dict[str, Tensor]]:
    """As in a published .safetensors."""
    return lambda parts: {f"{part}.{key}": tensor for part, sd in parts.items() for key, tensor in sd.items()}
