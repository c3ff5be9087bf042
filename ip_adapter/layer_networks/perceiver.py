"""Layers with a query and an output of their own, which add to hidden states after a block: those of PuLID for Flux.

Letters: R faces, T image tokens, C context width, B rows of a batch, L positions of the picture, W width of its hidden
states, I inner width of a layer. Source: PerceiverAttentionCA in ToTheBeginning/PuLID. It multiplies the query and the
key each by the fourth root of what softmax attention divides their product by, which is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, divide, shape_of

HEAD_WIDTH = 128  # in every published file


class PerceiverKeyValue(nn.Module):
    """Tokens (R, T, C) -> key and value, each (R, T, I)."""

    def __init__(
        self,
        context_width: int,
        width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.context_width, self.width = context_width, width
        self.norm1 = ops.LayerNorm(context_width, device=device, dtype=dtype)
        self.to_kv = ops.Linear(context_width, 2 * width, bias=False, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PerceiverKeyValue:
        rows, context = shape_of(sd, "to_kv.weight", 2)
        divide(rows, 2 * HEAD_WIDTH, "to_kv.weight")
        return cls(context, rows // 2, ops=ops, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        key, value = self.to_kv(self.norm1(tokens)).chunk(2, dim=-1)
        return key, value


class PerceiverQuery(nn.Module):
    """What is before and after the attention: hidden states -> query, and what it attends to -> hidden states.

    block_width: W
    heads: of the attention
    """

    def __init__(
        self,
        hidden_width: int,
        width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.block_width, self.heads = hidden_width, divide(width, HEAD_WIDTH, "to_q.weight")
        self.norm2 = ops.LayerNorm(hidden_width, device=device, dtype=dtype)
        self.to_q = ops.Linear(hidden_width, width, bias=False, device=device, dtype=dtype)
        self.to_out = ops.Linear(width, hidden_width, bias=False, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PerceiverQuery:
        width, hidden = shape_of(sd, "to_q.weight", 2)
        return cls(hidden, width, ops=ops, device=device, dtype=dtype)

    def query(self, hidden: Tensor) -> Tensor:
        """The hidden states of the picture (B, L, W) -> the query (B, L, I), whose heads are `HEAD_WIDTH` wide."""
        return self.to_q(self.norm2(hidden))

    def result(self, attended: Tensor) -> Tensor:
        """What the query attends to, (B, L, I) -> what is added to the hidden states, (B, L, W)."""
        return self.to_out(attended)
