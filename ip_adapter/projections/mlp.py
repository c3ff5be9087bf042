"""MLP that makes one image token of every position of the hidden states.

Letters: B images, W feature width, N positions, C context width. Attributes are named like the keys that containers.py
gives. Source: https://arxiv.org/abs/2308.06721, section 3.2, and tencent-ailab/IP-Adapter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, shape_of


class TokenMLP(nn.Module):
    """Hidden states (B, N, W) -> image tokens (B, N, C). Full-face files have it, with N = 257."""

    def __init__(
        self,
        feature_width: int,
        hidden_width: int,
        context_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.feature_widths = (feature_width,)
        self.context_width = context_width
        self.num_tokens = 257  # from the 224 pixel encoder of these files; `count_tokens` gives those of an input
        self.proj = nn.Sequential(
            ops.Linear(feature_width, hidden_width, device=device, dtype=dtype),
            nn.GELU(),
            ops.Linear(hidden_width, context_width, device=device, dtype=dtype),
        )
        self.norm = ops.LayerNorm(context_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> TokenMLP:
        (context,) = shape_of(sd, "norm.weight", 1)
        hidden, features = shape_of(sd, "proj.0.weight", 2)
        return cls(features, hidden, context, ops=ops, device=device, dtype=dtype)

    def count_tokens(self, features: Tensor) -> int:
        return features.shape[1]

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.proj(features))  # (B, N, W) -> (B, N, C)
