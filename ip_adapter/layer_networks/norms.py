"""Norms by the root mean square of a head.

Letters: R references, T positions, H heads, D width of a head, I = H * D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import StateDict, divide, shape_of


class RMSNorm(nn.Module):
    """Divide what is in the last dimension, (..., D), by the root of its mean square, and scale it."""

    eps = 1e-6

    def __init__(self, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.empty(width, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.rms_norm(x, (self.width,), self.weight.to(x), self.eps)

    def of_heads(self, x: Tensor) -> Tensor:
        """Norm each head of (R, T, I)."""
        return self(x.view(*x.shape[:-1], -1, self.width)).flatten(-2)


class EpsBesideRoot(RMSNorm):
    """The same with eps added to the root, not to the mean square, as in bzhangGo/rmsnorm."""

    def forward(self, x: Tensor) -> Tensor:
        root = x.float().square().mean(dim=-1, keepdim=True).sqrt()
        return (x / (root + self.eps)).to(x) * self.weight.to(x)


def head_width(sd: StateDict, norm: str) -> int:
    """D, which is the width of a norm of keys, and of which the width of the keys is a multiple.

    Raises:
        ValueError: a tensor is missing or damaged, or the key has no whole number of such heads.
    """
    (width,) = shape_of(sd, f"{norm}.weight", 1)
    divide(shape_of(sd, "to_k_ip.weight", 2)[0], width, "to_k_ip.weight")
    return width
