"""The projection of InstantCharacter: what two encoders see of a character in several layers and at two sizes.

Letters: R references, N positions of a picture, S layers whose states are shallow, P pieces of the enlarged picture, W
width of the features and of the blocks, F width within a feed-forward, H heads, M width of the resampler, T tokens, C
context width. Attributes are named like the keys of the files. Source: https://arxiv.org/abs/2504.12395 and
Tencent/InstantCharacter; a block is diffusers' BasicTransformerBlock.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, divide, part_of, shape_of
from .time_resampler import TimeResampler

HEAD_WIDTH = 64  # in the published file
EPS = 1e-6


class Attention(nn.Module):
    """States (R, N, W) attend to others (R, L, W): (R, N, W)."""

    def __init__(
        self,
        width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.to_q = ops.Linear(width, width, bias=False, device=device, dtype=dtype)
        self.to_kv = ops.Linear(width, 2 * width, bias=False, device=device, dtype=dtype)
        self.to_out = ops.Linear(width, width, device=device, dtype=dtype)

    def forward(self, states: Tensor, others: Tensor) -> Tensor:
        each = (self.to_q(states), *self.to_kv(others).chunk(2, dim=-1))
        q, k, v = (x.view(*x.shape[:2], -1, HEAD_WIDTH).transpose(1, 2) for x in each)  # (R, H, N or L, 64)
        return self.to_out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GatedFeedForward(nn.Module):
    """(R, N, W) -> (R, N, W), with half of what is within as the gate of the other half."""

    def __init__(
        self,
        width: int,
        inner: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.proj = ops.Linear(width, 2 * inner, device=device, dtype=dtype)
        self.out = ops.Linear(inner, width, device=device, dtype=dtype)

    def forward(self, states: Tensor) -> Tensor:
        hidden, gate = self.proj(states).chunk(2, dim=-1)
        return self.out(hidden * nn.functional.gelu(gate))


class Block(nn.Module):
    """States (R, N, W) attend to themselves, then to others (R, L, W), and a feed-forward follows: (R, N, W)."""

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
        self.norm1 = ops.LayerNorm(width, eps=EPS, device=device, dtype=dtype)
        self.attn1 = Attention(width, ops=ops, device=device, dtype=dtype)
        self.norm2 = ops.LayerNorm(width, eps=EPS, device=device, dtype=dtype)
        self.attn2 = Attention(width, ops=ops, device=device, dtype=dtype)
        self.norm3 = ops.LayerNorm(width, eps=EPS, device=device, dtype=dtype)
        self.ff = GatedFeedForward(width, ff_width, ops=ops, device=device, dtype=dtype)

    def forward(self, states: Tensor, others: Tensor) -> Tensor:
        own = self.norm1(states)
        states = states + self.attn1(own, own)
        states = states + self.attn2(self.norm2(states), others)
        return states + self.ff(self.norm3(states))


class FeedForward(nn.Module):
    """(R, N, W) -> (R, N, W)."""

    def __init__(
        self,
        width: int,
        inner: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.fc1 = ops.Linear(width, inner, device=device, dtype=dtype)
        self.fc2 = ops.Linear(inner, width, device=device, dtype=dtype)

    def forward(self, states: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(states), approximate="tanh"))


class CharacterProjection(nn.Module):
    """A character and the timestep -> image tokens (R, T, C).

    shallow (R, S * N, W): the states of S layers, one layer after the other
    deep (R, N, W): the last states
    pieces (R, P * N, W): the last states of pieces of the enlarged picture, one piece after the other
    """

    stepwise = True

    def __init__(
        self,
        width: int,
        ff_width: int,
        depths: tuple[int, int],
        projection_width: int,
        resampler: TimeResampler,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        """F in the blocks, and after them in `projection_width`; how many blocks see shallow states, and pieces."""
        super().__init__()
        self.feature_widths = (width, width, width)
        self.context_width = resampler.context_width
        self.num_tokens = resampler.num_tokens
        layer_blocks, scale_blocks = (
            nn.ModuleList(Block(width, ff_width, ops=ops, device=device, dtype=dtype) for _ in range(depth))
            for depth in depths
        )
        self.cross_layer_blocks, self.cross_scale_blocks = layer_blocks, scale_blocks
        self.proj = FeedForward(width, projection_width, ops=ops, device=device, dtype=dtype)
        self.proj_cross_layer = FeedForward(width, projection_width, ops=ops, device=device, dtype=dtype)
        self.proj_cross_scale = FeedForward(width, projection_width, ops=ops, device=device, dtype=dtype)
        self.resampler = resampler

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> CharacterProjection:
        width, ff_width = shape_of(sd, "cross_layer_blocks.0.ff.out.weight", 2)
        divide(width, HEAD_WIDTH, "cross_layer_blocks.0.attn1.to_q.weight")
        projection_width, _ = shape_of(sd, "proj.fc1.weight", 2)
        depths = _depth(sd, "cross_layer_blocks"), _depth(sd, "cross_scale_blocks")
        resampler = TimeResampler.from_shapes(part_of(sd, "resampler"), ops=ops, device=device, dtype=dtype)
        return cls(width, ff_width, depths, projection_width, resampler, ops=ops, device=device, dtype=dtype)

    def count_tokens(self, shallow: Tensor, deep: Tensor, pieces: Tensor) -> int:
        return self.num_tokens

    def prepare(self, shallow: Tensor, deep: Tensor, pieces: Tensor) -> Tensor:
        """What does not depend on the timestep: the features -> states (R, 2 * N, M)."""
        layers, scales = deep, deep
        for block in self.cross_layer_blocks:
            layers = block(layers, shallow)
        for block in self.cross_scale_blocks:
            scales = block(scales, pieces)
        states = self.proj(deep) + self.proj_cross_scale(scales)
        return self.resampler.prepare(torch.cat((states, self.proj_cross_layer(layers)), dim=1))

    def forward(self, states: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """What `prepare` gives, and the timestep, (R,) or (1,) in 0..1000 -> tokens (R, T, C), embedding (R, M)."""
        return self.resampler(states, timestep)


def _depth(sd: StateDict, name: str) -> int:
    return sum(bool(re.fullmatch(rf"{name}\.\d+\.norm1\.weight", key)) for key in sd)
