"""A layer of two linear layers: those of the UNets and of XLabs have no other, and most others are made of them.

Letters: R references, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, shape_of


class ImageKeyValue(nn.Module):
    """One layer of an adapter: image tokens (R, T, C) -> key and value, each (R, T, I).

    context_width: C
    width: I
    """

    def __init__(
        self,
        context_width: int,
        width: int,
        *,
        bias: bool = False,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.context_width, self.width = context_width, width
        self.to_k_ip = ops.Linear(context_width, width, bias=bias, device=device, dtype=dtype)
        self.to_v_ip = ops.Linear(context_width, width, bias=bias, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> ImageKeyValue:
        width, context = shape_of(sd, "to_k_ip.weight", 2)
        return cls(context, width, bias="to_k_ip.bias" in sd, ops=ops, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.to_k_ip(tokens), self.to_v_ip(tokens)  # (R, T, C) -> (R, T, I) twice
