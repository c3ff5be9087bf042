"""Perceiver resampler: hidden states of any length -> a fixed number of image tokens.

Letters: B images, N positions, W feature width, M resampler width, H heads, I = H * 64, T tokens, C context width.
Source: Flamingo, https://arxiv.org/abs/2204.14198, as used by tencent-ailab/IP-Adapter for its plus adapters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, divide, shape_of

HEAD_WIDTH = 64  # in every published file


class PerceiverLayer(nn.Module):
    """The attention and the feed-forward of a layer. Its kinds differ in what is between them."""

    def __init__(
        self,
        width: int,
        heads: int,
        ff_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.heads = heads
        inner = heads * HEAD_WIDTH
        self.norm1 = ops.LayerNorm(width, device=device, dtype=dtype)
        self.norm2 = ops.LayerNorm(width, device=device, dtype=dtype)
        self.to_q = ops.Linear(width, inner, bias=False, device=device, dtype=dtype)
        self.to_kv = ops.Linear(width, inner * 2, bias=False, device=device, dtype=dtype)
        self.to_out = ops.Linear(inner, width, bias=False, device=device, dtype=dtype)
        self.ff = nn.Sequential(
            ops.LayerNorm(width, device=device, dtype=dtype),
            ops.Linear(width, ff_width, bias=False, device=device, dtype=dtype),
            nn.GELU(),
            ops.Linear(ff_width, width, bias=False, device=device, dtype=dtype),
        )

    def attend(self, image: Tensor, queries: Tensor) -> Tensor:
        """What the queries (B, T, M) see in the image (B, N, M) and in each other: (B, T, M)."""
        q = self._split(self.to_q(queries))  # (B, T, I) -> (B, H, T, 64)
        k, v = map(self._split, self.to_kv(torch.cat((image, queries), dim=1)).chunk(2, dim=-1))  # (B, H, N + T, 64)
        scale = HEAD_WIDTH**-0.25  # on both sides: half precision overflows less than with one factor at the end
        scores = (q * scale) @ (k * scale).transpose(-2, -1)
        out = scores.float().softmax(dim=-1).to(v.dtype) @ v  # (B, H, T, 64)
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, HEAD_WIDTH).transpose(1, 2)


class ResamplerLayer(PerceiverLayer):
    """Latents (B, T, M) attend to the image (B, N, M) and to themselves, and a feed-forward follows: (B, T, M)."""

    def forward(self, image: Tensor, latents: Tensor) -> Tensor:
        latents = latents + self.attend(self.norm1(image), self.norm2(latents))
        return latents + self.ff(latents)


@dataclass(frozen=True)
class LayerSizes:
    """M, H, the width of the feed-forward and the number of layers of a resampler."""

    width: int
    heads: int
    ff_width: int
    depth: int

    @classmethod
    def of(cls, sd: StateDict, name: str = "layers") -> LayerSizes:
        """The sizes of the layers whose keys begin with `name`.

        Raises:
            ValueError: the first layer is incomplete or damaged.
        """
        inner, width = shape_of(sd, f"{name}.0.to_q.weight", 2)
        ff_width, _ = shape_of(sd, f"{name}.0.ff.1.weight", 2)
        depth = sum(bool(re.fullmatch(rf"{re.escape(name)}\.\d+\.to_q\.weight", key)) for key in sd)
        return cls(width, divide(inner, HEAD_WIDTH, f"{name}.0.to_q.weight"), ff_width, depth)

    def build(
        self,
        kind: type[PerceiverLayer] = ResamplerLayer,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> nn.ModuleList:
        """Layers of these sizes."""
        return nn.ModuleList(
            kind(self.width, self.heads, self.ff_width, ops=ops, device=device, dtype=dtype) for _ in range(self.depth)
        )


class Resampler(nn.Module):
    """Hidden states (B, N, W), or one embedding (B, W), -> image tokens (B, T, C).

    Plus, plus-face, composition, Kolors Plus, FaceID portrait unnorm and InstantID have it.
    """

    def __init__(
        self,
        feature_width: int,
        layers: LayerSizes,
        num_tokens: int,
        context_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.feature_widths = (feature_width,)
        self.context_width = context_width
        self.num_tokens = num_tokens
        self.latents = nn.Parameter(torch.empty(1, num_tokens, layers.width, device=device, dtype=dtype))
        self.proj_in = ops.Linear(feature_width, layers.width, device=device, dtype=dtype)
        self.layers = layers.build(ops=ops, device=device, dtype=dtype)
        self.proj_out = ops.Linear(layers.width, context_width, device=device, dtype=dtype)
        self.norm_out = ops.LayerNorm(context_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Resampler:
        _, num_tokens, _ = shape_of(sd, "latents", 3)
        _, features = shape_of(sd, "proj_in.weight", 2)
        context, _ = shape_of(sd, "proj_out.weight", 2)
        return cls(features, LayerSizes.of(sd), num_tokens, context, ops=ops, device=device, dtype=dtype)

    def count_tokens(self, features: Tensor) -> int:
        return self.num_tokens

    def forward(self, features: Tensor) -> Tensor:
        states = features.unsqueeze(1) if features.ndim == 2 else features  # an embedding is one position
        image = self.proj_in(states)  # (B, N, W) -> (B, N, M)
        latents = self.latents.to(image).expand(len(image), -1, -1)  # (B, T, M)
        for layer in self.layers:
            latents = layer(image, latents)
        return self.norm_out(self.proj_out(latents))  # (B, T, C)
