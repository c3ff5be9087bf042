"""The usual layer: one linear projection for keys and one for values.

Letters: B references, T image tokens, C context width, I inner width of the layer.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, shape_of

Layer = TypeVar("Layer", bound="ImageKeyValue")


class ImageKeyValue(nn.Module):
    """Image tokens (B, T, C) -> key and value, each (B, T, I)."""

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
        cls: type[Layer],
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Layer:
        width, context = shape_of(sd, "to_k_ip.weight", 2)
        return cls(context, width, bias="to_k_ip.bias" in sd, ops=ops, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.to_k_ip(tokens), self.to_v_ip(tokens)  # (B, T, C) -> (B, T, I) twice
