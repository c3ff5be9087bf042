"""Layers that follow the timestep: those of InstantX for SD3.5, and of the adapters for Anima.

Letters: R references, T image tokens, C context width, I inner width of a layer, D width of a head,
E width of the embedding of the timestep.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, shape_of
from .norms import RMSNorm, head_width
from .plain import ImageKeyValue

EPS = 1e-6


class TimedNorm(nn.Module):
    """Norm tokens (R, T, C), then shift and scale them by the embedding of the timestep (R, E)."""

    def __init__(
        self,
        embedding_width: int,
        width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.width = width
        self.linear = ops.Linear(embedding_width, 2 * width, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, embedding: Tensor) -> Tensor:
        shift, scale = self.linear(nn.functional.silu(embedding)).unsqueeze(1).chunk(2, dim=-1)  # (R, 1, C) each
        return nn.functional.layer_norm(tokens, (self.width,), eps=EPS) * (1 + scale) + shift


class TimedKeyValue(ImageKeyValue):
    """Tokens (R, T, C) and the embedding of the timestep (R, E) -> key, normed by head, and value, both (R, T, I).

    Source: InstantX/SD3.5-Large-IP-Adapter; diffusers has it as SD3IPAdapterJointAttnProcessor2_0.
    """

    def __init__(
        self,
        context_width: int,
        width: int,
        embedding_width: int,
        head_width: int,
        *,
        bias: bool = False,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(context_width, width, bias=bias, ops=ops, device=device, dtype=dtype)
        self.norm_ip = TimedNorm(embedding_width, context_width, ops=ops, device=device, dtype=dtype)
        self.norm_ip_k = RMSNorm(head_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> TimedKeyValue:
        width, context = shape_of(sd, "to_k_ip.weight", 2)
        _, embedding = shape_of(sd, "norm_ip.linear.weight", 2)
        head, bias = head_width(sd, "norm_ip_k"), "to_k_ip.bias" in sd
        return cls(context, width, embedding, head, bias=bias, ops=ops, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if embedding is None:
            raise ValueError("This layer follows the timestep: give the embedding that `step` returns with the tokens.")
        key, value = super().forward(self.norm_ip(tokens, embedding))
        return self.norm_ip_k.of_heads(key), value


class TimedNorms(nn.Module):
    """The norms of the picture's own query and key, which take the place of the model's: (..., D) before those."""

    def __init__(self, head_width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.norm_q = RMSNorm(head_width, device=device, dtype=dtype)
        self.norm_k = RMSNorm(head_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> TimedNorms:
        return cls(head_width(sd, "norm_q"), device=device, dtype=dtype)

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return self.norm_q(query), self.norm_k(key)


class Gate(nn.Module):
    """The embedding of the timestep (..., E) -> the factor of what the tokens add, (..., I)."""

    def __init__(
        self,
        embedding_width: int,
        width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.gate = ops.Linear(embedding_width, width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Gate:
        width, embedding = shape_of(sd, "gate.weight", 2)
        return cls(embedding, width, ops=ops, device=device, dtype=dtype)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.gate(nn.functional.silu(embedding))
