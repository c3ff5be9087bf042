"""Linear projection of one pooled embedding to a few image tokens.

Letters: B images, D feature width, T tokens, C context width. Attributes are named like the keys that containers.py
gives. Source: https://arxiv.org/abs/2308.06721, section 3.2, and tencent-ailab/IP-Adapter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, divide, shape_of


class LinearProjection(nn.Module):
    """Image embeddings (B, D) -> image tokens (B, T, C). The files base, light and vit-G have it."""

    def __init__(
        self,
        feature_width: int,
        context_width: int,
        num_tokens: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.feature_widths = (feature_width,)
        self.context_width = context_width
        self.num_tokens = num_tokens
        self.proj = ops.Linear(feature_width, context_width * num_tokens, device=device, dtype=dtype)
        self.norm = ops.LayerNorm(context_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> LinearProjection:
        (context,) = shape_of(sd, "norm.weight", 1)
        rows, features = shape_of(sd, "proj.weight", 2)
        return cls(features, context, divide(rows, context, "proj.weight"), ops=ops, device=device, dtype=dtype)

    def count_tokens(self, features: Tensor) -> int:
        return self.num_tokens

    def forward(self, features: Tensor) -> Tensor:
        tokens = self.proj(features).unflatten(-1, (self.num_tokens, self.context_width))  # (B, D) -> (B, T, C)
        return self.norm(tokens)
