"""Image tokens of the adapters for Anima: the hidden states of SigLIP2 as they are, or fewer of them, or mixed.

Letters: R references, N positions, C width of the hidden states and of the tokens, H heads, T tokens. Attributes are
named like the keys of the files. Source: LuciferTC9527/ComfyUI-Anima_IP-Adapter.
"""

from __future__ import annotations

import re
from functools import partial

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, shape_of

WIDTH = 768  # of SigLIP2 base
POSITIONS = 1024  # of a picture in SigLIP2 base at 512 pixels
HEADS = 8  # in every published network; no tensor says it


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What queries (R, T, C) see in keys and values (R, N, C): (R, T, C)."""
    q, k, v = (x.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for x in (query, key, value))  # (R, H, N, C / H)
    return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def feed_forward(
    width: int,
    ff_width: int,
    *,
    ops: Ops = nn,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    return nn.Sequential(
        ops.Linear(width, ff_width, device=device, dtype=dtype),
        nn.GELU(),
        ops.Linear(ff_width, width, device=device, dtype=dtype),
    )


class TokenMixer(nn.Module):
    """The tokens attend to each other, and a feed-forward follows: (R, N, C) -> (R, N, C)."""

    def __init__(
        self,
        width: int,
        ff_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.norm1 = ops.LayerNorm(width, device=device, dtype=dtype)
        self.qkv = ops.Linear(width, 3 * width, bias=False, device=device, dtype=dtype)
        self.out_proj = ops.Linear(width, width, bias=False, device=device, dtype=dtype)
        self.norm2 = ops.LayerNorm(width, device=device, dtype=dtype)
        self.ffn = feed_forward(width, ff_width, ops=ops, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> TokenMixer:
        ff_width, width = shape_of(sd, "ip_self_attn.ffn.0.weight", 2)
        return cls(width, ff_width, ops=ops, device=device, dtype=dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.out_proj(attend(*self.qkv(self.norm1(tokens)).chunk(3, dim=-1)))
        return tokens + self.ffn(self.norm2(tokens))


class CompressorLayer(nn.Module):
    """Queries (R, T, C) attend to the picture (R, N, C), then to each other, and a feed-forward follows: (R, T, C)."""

    def __init__(
        self,
        width: int,
        ff_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        linear = partial(ops.Linear, bias=False, device=device, dtype=dtype)
        norm = partial(ops.LayerNorm, device=device, dtype=dtype)
        self.norm_q, self.norm_kv = norm(width), norm(width)
        self.q_proj, self.k_proj, self.v_proj = linear(width, width), linear(width, width), linear(width, width)
        self.out_proj = linear(width, width)
        self.norm_self = norm(width)
        self.self_qkv = linear(width, 3 * width)
        self.self_out = linear(width, width)
        self.norm_ffn = norm(width)
        self.ffn = feed_forward(width, ff_width, ops=ops, device=device, dtype=dtype)

    def forward(self, queries: Tensor, image: Tensor) -> Tensor:
        own, image = self.norm_q(queries), self.norm_kv(image)
        queries = queries + self.out_proj(attend(self.q_proj(own), self.k_proj(image), self.v_proj(image)))
        queries = queries + self.self_out(attend(*self.self_qkv(self.norm_self(queries)).chunk(3, dim=-1)))
        return queries + self.ffn(self.norm_ffn(queries))


class Compressor(nn.Module):
    """The picture (R, N, C) -> as many tokens as there are learned queries, (R, T, C)."""

    def __init__(
        self,
        count: int,
        width: int,
        ff_width: int,
        depth: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.queries = nn.Parameter(torch.empty(count, width, device=device, dtype=dtype))
        self.layers = nn.ModuleList(
            CompressorLayer(width, ff_width, ops=ops, device=device, dtype=dtype) for _ in range(depth)
        )
        self.final_norm = ops.LayerNorm(width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Compressor:
        count, width = shape_of(sd, "siglip_compressor.queries", 2)
        ff_width, _ = shape_of(sd, "siglip_compressor.layers.0.ffn.0.weight", 2)
        depth = sum(bool(re.fullmatch(r"siglip_compressor\.layers\.\d+\.norm_q\.weight", key)) for key in sd)
        return cls(count, width, ff_width, depth, ops=ops, device=device, dtype=dtype)

    def forward(self, image: Tensor) -> Tensor:
        queries = self.queries.to(image).expand(len(image), -1, -1)
        for layer in self.layers:
            queries = layer(queries, image)
        return self.final_norm(queries)


class AnimaTokens(nn.Module):
    """Hidden states (R, N, C) -> image tokens (R, T, C), which are the same in files without a network for it.

    null_tokens: those of the unconditional rows, (..., T, C); None if the file has none
    """

    def __init__(
        self,
        compressor: Compressor | None = None,
        mixer: TokenMixer | None = None,
        null_tokens: nn.Parameter | None = None,
    ):
        super().__init__()
        self.feature_widths = (WIDTH,)
        self.context_width = WIDTH
        self.siglip_compressor = compressor
        self.ip_self_attn = mixer
        self.null_tokens = null_tokens
        self.num_tokens = POSITIONS if compressor is None else len(compressor.queries)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> AnimaTokens:
        parts = {key.split(".")[0] for key in sd}
        if "siglip_norm" in parts:
            raise ValueError(
                "This adapter for Anima was trained on the hidden states of a middle layer of SigLIP2 (it has "
                "siglip_norm), and the file does not say which layer: choose an adapter without siglip_norm."
            )
        compressor = mixer = nothing = None
        if "siglip_compressor" in parts:
            compressor = Compressor.from_shapes(sd, ops=ops, device=device, dtype=dtype)
        if "ip_self_attn" in parts:
            mixer = TokenMixer.from_shapes(sd, ops=ops, device=device, dtype=dtype)
        if "null_tokens" in parts:
            nothing = nn.Parameter(torch.empty(sd["null_tokens"].shape, device=device, dtype=dtype))
        return cls(compressor, mixer, nothing)

    def count_tokens(self, features: Tensor) -> int:
        return features.shape[1] if self.siglip_compressor is None else self.num_tokens

    def forward(self, features: Tensor) -> Tensor:
        tokens = features if self.siglip_compressor is None else self.siglip_compressor(features)
        return tokens if self.ip_self_attn is None else self.ip_self_attn(tokens)
