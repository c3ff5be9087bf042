"""The parts of a vision transformer. Letters: B images, N tokens, W width, M mlp width, H heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Ops(Protocol):
    """Where the layer classes come from: `torch.nn`, or a host's own namespace with the same signatures."""

    @property
    def Linear(self) -> Callable[..., nn.Module]: ...
    @property
    def LayerNorm(self) -> Callable[..., nn.Module]: ...
    @property
    def Conv2d(self) -> Callable[..., nn.Module]: ...


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), OpenAI's approximation (https://arxiv.org/abs/1606.08415, section 2). Same shape."""
    return (1.702 * x).sigmoid_().mul_(x)  # one temporary: on a CPU fresh memory costs more than the arithmetic


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "quick_gelu": quick_gelu,
    "gelu_pytorch_tanh": gelu_tanh,
    "silu": F.silu,
}


class Attention(nn.Module):
    """Self-attention with one fused projection for queries, keys and values."""

    def __init__(self, width: int, heads: int, ops: Ops, **factory: Any):
        super().__init__()
        self.heads = heads
        self.qkv = ops.Linear(width, 3 * width, **factory)
        self.out = ops.Linear(width, width, **factory)

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """x (B, N, W) -> (B, rows, W): only the first `rows` tokens ask, all are looked at."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, N, 3, H, W/H)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # each (B, H, N, W/H)
        attended = F.scaled_dot_product_attention(q[:, :, :rows], k, v)
        return self.out(attended.transpose(1, 2).flatten(2))  # (B, rows, W)


class Mlp(nn.Module):
    def __init__(self, width: int, mlp_width: int, activation: str, ops: Ops, **factory: Any):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.fc1 = ops.Linear(width, mlp_width, **factory)
        self.fc2 = ops.Linear(mlp_width, width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class GatedMlp(nn.Module):
    """SwiGLU (https://arxiv.org/abs/2002.05202), gate and values in one matrix; maybe with a norm before the last.

    norm_eps: of that norm; None: there is none
    """

    def __init__(self, width: int, mlp_width: int, activation: str, norm_eps: float | None, ops: Ops, **factory: Any):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.fc1 = ops.Linear(width, 2 * mlp_width, **factory)
        self.norm = ops.LayerNorm(mlp_width, eps=norm_eps, **factory) if norm_eps else nn.Identity()
        self.fc2 = ops.Linear(mlp_width, width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(self.norm(self.activation(gate) * value))


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, eps: float, attention: nn.Module, mlp: nn.Module, ops: Ops, **factory: Any):
        super().__init__()
        self.norm1 = ops.LayerNorm(width, eps=eps, **factory)
        self.attention = attention
        self.norm2 = ops.LayerNorm(width, eps=eps, **factory)
        self.mlp = mlp

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """x (B, N, W) -> the first `rows` tokens of the layer's output (B, rows, W); None means all."""
        x = x[:, :rows] + self.attention(self.norm1(x), rows)
        return x + self.mlp(self.norm2(x))


class ScaledLayer(Layer):
    """A layer that multiplies what its attention and its mlp give (LayerScale, https://arxiv.org/abs/2103.17239)."""

    def __init__(self, width: int, eps: float, attention: nn.Module, mlp: nn.Module, ops: Ops, **factory: Any):
        super().__init__(width, eps, attention, mlp, ops, **factory)
        self.scale1 = nn.Parameter(torch.empty(width, **factory))
        self.scale2 = nn.Parameter(torch.empty(width, **factory))

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """x (B, N, W) -> the first `rows` tokens of the layer's output (B, rows, W); None means all."""
        x = x[:, :rows] + self.attention(self.norm1(x), rows) * self.scale1
        return x + self.mlp(self.norm2(x)) * self.scale2


class PoolingHead(nn.Module):
    """Attention pooling: a learned query looks at all tokens (MAP head, https://arxiv.org/abs/2106.04560)."""

    def __init__(self, width: int, heads: int, mlp_width: int, activation: str, eps: float, ops: Ops, **factory: Any):
        super().__init__()
        self.heads = heads
        self.probe = nn.Parameter(torch.empty(1, 1, width, **factory))
        self.q = ops.Linear(width, width, **factory)
        self.kv = ops.Linear(width, 2 * width, **factory)
        self.out = ops.Linear(width, width, **factory)
        self.norm = ops.LayerNorm(width, eps=eps, **factory)
        self.mlp = Mlp(width, mlp_width, activation, ops, **factory)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, W), after the last norm -> (B, W)."""
        q = self.q(self.probe.expand(len(x), 1, -1)).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, 1, W/H)
        k, v = self.kv(x).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()  # each (B, H, N, W/H)
        pooled = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # (B, 1, W)
        return (pooled + self.mlp(self.norm(pooled)))[:, 0]
