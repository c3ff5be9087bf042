"""Attention in which places are angles (https://arxiv.org/abs/2104.09864), along both sides of the picture.

Letters: B images, N tokens, W width, H heads.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import VisionConfig
from .layers import Ops

SLOWEST = 10000.0  # the wave lengths of the angles lie between 1 and this


class RotaryAttention(nn.Module):
    """Self-attention that turns queries and keys by angles that tell their place; maybe with a norm of the result."""

    def __init__(self, config: VisionConfig, ops: Ops, **factory: Any):
        super().__init__()
        c = config
        self.heads = c.heads
        self.turns = partial(turns, c)
        self.qkv = ops.Linear(c.width, 3 * c.width, **factory)
        self.norm = ops.LayerNorm(c.width, eps=c.norm_eps, **factory) if c.traits.inner_norms else nn.Identity()
        self.out = ops.Linear(c.width, c.width, **factory)

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """x (B, N, W) -> (B, rows, W): only the first `rows` tokens ask, all are looked at."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, N, 3, H, W/H)
        turned = turn(qkv[:, :, :2], self.turns(x.device))
        q, k, v = (each.transpose(1, 2) for each in (*turned.unbind(2), qkv[:, :, 2]))  # each (B, H, N, W/H)
        attended = F.scaled_dot_product_attention(q[:, :, :rows], k, v)
        return self.out(self.norm(attended.transpose(1, 2).flatten(2)))  # (B, rows, W)


def turn(x: Tensor, by: Tensor) -> Tensor:
    """Turn each two neighbouring numbers of x (..., C), as a point of the plane, by one of the turns (..., C/2)."""
    points = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(points * by).flatten(-2).to(x.dtype)  # complex: a sixth of the time of sines and cosines


@lru_cache(maxsize=8)
def turns(config: VisionConfig, device: torch.device) -> Tensor:
    """The turns of each token, complex numbers (N, 1, 1, W/H/2), from fast to slow in both halves.

    One half tells the row of a patch, the other its column. The class token is not turned.
    """
    angles, grid, token = config.traits.angles, config.grid, config.has_class_token
    assert angles is not None
    quarter = config.width // config.heads // 4
    with torch.inference_mode(False):  # kept for later calls, which may be in another mode
        waves = SLOWEST ** -(torch.arange(quarter) / quarter)
        steps = torch.arange(grid) + (angles.from_one and token)
        along = steps[:, None] * ((angles.side or grid) / grid) * waves  # (grid, W/H/4)
        sides = along[:, None].expand(grid, grid, -1), along[None].expand(grid, grid, -1)  # rows, columns
        each = torch.cat(sides[::-1] if angles.columns_first else sides, dim=-1).flatten(0, 1)
        each = F.pad(each, (0, 0, int(token), 0))  # (N, W/H/2)
        return torch.polar(torch.ones_like(each), each).to(device)[:, None, None]
