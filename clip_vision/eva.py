"""The layers of EVA-02 (https://arxiv.org/abs/2303.11331), as EVA02-CLIP has them.

They differ from those of CLIP in three ways: queries and keys are turned by angles that tell their place in the
picture, the mlp is gated, and there is a norm before the last matrix of the attention and of the mlp.

Letters: B images, N patches, W width, M mlp width, H heads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ACTIVATIONS, Ops

SLOWEST = 10000.0  # the wave lengths of the angles lie between 1 and this
TRAINED_GRID = 16  # patches along a side in the first training: larger grids are squeezed into the same angles


class EvaAttention(nn.Module):
    """Self-attention in which places are angles. Only queries and values have a bias: that of the keys is zero."""

    def __init__(self, width: int, heads: int, eps: float, ops: Ops, grid: int, **factory: Any):
        super().__init__()
        self.heads, self.grid = heads, grid
        self.qkv = ops.Linear(width, 3 * width, **factory)
        self.norm = ops.LayerNorm(width, eps=eps, **factory)
        self.out = ops.Linear(width, width, **factory)

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """x (B, N + 1, W) -> (B, rows, W): only the first `rows` tokens ask, all are looked at."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, N + 1, 3, H, W/H)
        turned = turn(qkv[:, :, :2], turns(self.grid, qkv.shape[-1], x.device))
        q, k, v = (each.transpose(1, 2) for each in (*turned.unbind(2), qkv[:, :, 2]))  # each (B, H, N + 1, W/H)
        attended = F.scaled_dot_product_attention(q[:, :, :rows], k, v)
        return self.out(self.norm(attended.transpose(1, 2).flatten(2)))  # (B, rows, W)


class GatedMlp(nn.Module):
    """SwiGLU (https://arxiv.org/abs/2002.05202), gate and values in one matrix."""

    def __init__(self, width: int, mlp_width: int, activation: str, eps: float, ops: Ops, **factory: Any):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.fc1 = ops.Linear(width, 2 * mlp_width, **factory)
        self.norm = ops.LayerNorm(mlp_width, eps=eps, **factory)
        self.fc2 = ops.Linear(mlp_width, width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(self.norm(self.activation(gate).mul_(value)))


class EvaLayer(nn.Module):
    """A pre-norm transformer layer, called as `layers.Layer` is. Its tokens are a class token and a square grid."""

    def __init__(
        self, width: int, heads: int, mlp_width: int, activation: str, eps: float, ops: Ops, grid: int, **factory: Any
    ):
        super().__init__()
        self.norm1 = ops.LayerNorm(width, eps=eps, **factory)
        self.attention = EvaAttention(width, heads, eps, ops, grid, **factory)
        self.norm2 = ops.LayerNorm(width, eps=eps, **factory)
        self.mlp = GatedMlp(width, mlp_width, activation, eps, ops, **factory)

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """x (B, N + 1, W) -> the first `rows` tokens of the layer's output (B, rows, W); None means all."""
        x = x[:, :rows] + self.attention(self.norm1(x), rows)
        return x + self.mlp(self.norm2(x))


def turn(x: Tensor, by: Tensor) -> Tensor:
    """Turn each two neighbouring numbers of x (..., C), as a point of the plane, by one of the turns (..., C/2)."""
    points = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(points * by).flatten(-2).to(x.dtype)  # complex: a sixth of the time of sines and cosines


@lru_cache(maxsize=8)
def turns(grid: int, head_width: int, device: torch.device) -> Tensor:
    """The turns of each token, complex numbers (N + 1, 1, 1, head_width / 2). The class token is not turned.

    The first half of the turns tells the row of a patch, the second its column, from fast to slow.
    """
    with torch.inference_mode(False):  # kept for later calls, which may be in another mode
        waves = SLOWEST ** -(torch.arange(head_width // 4) / (head_width // 4))
        along = torch.arange(grid)[:, None] * (TRAINED_GRID / grid) * waves  # (grid, head_width / 4)
        shape = (grid, grid, -1)
        angles = torch.cat((along[:, None].expand(shape), along[None].expand(shape)), dim=-1).flatten(0, 1)
        angles = F.pad(angles, (0, 0, 1, 0))  # (N + 1, head_width / 2)
        return torch.polar(torch.ones_like(angles), angles).to(device)[:, None, None]
