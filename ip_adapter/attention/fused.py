"""Attention to one image prompt by torch's fused kernel, for GPUs and for many tokens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from .attended import Attended, Weights, by_head


@dataclass(frozen=True, eq=False)
class Fused:
    """The step of one image prompt. `heads`: number of attention heads."""

    each: Attended
    heads: int

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        each, rows = self.each, self.each.rows
        q, out, mask = q[rows], out[rows], each.mask
        if each.key.shape[0] == 1:  # one sequence, so that nothing is repeated
            mask = None if mask is None else mask.expand(q.shape[:2]).reshape(1, -1)
            q, out = q.reshape(1, -1, q.shape[2]), out.view(1, -1, q.shape[2])
        key, value = by_head(each.key, self.heads), by_head(each.value, self.heads)
        add_attention(out, by_head(q, self.heads), key, value, mask, weights[each.number])


def add_attention(out: Tensor, q: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, weight: float) -> None:
    """Add weight * mask * attend(q, key, value) to `out` in place.

    Shapes: out (S, N, I), q (S, H, N, D), key and value (S, H, T, D), mask (S, N) or None.
    """
    image = attend(q, key, value)
    if mask is None:
        out.add_(image, alpha=weight)
    else:
        out.addcmul_(image, mask.unsqueeze(-1), value=weight)


def attend(q: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Queries (S, H, N, D) attend to keys and values (S, H, T, D): (S, N, I)."""
    return F.scaled_dot_product_attention(q, key, value, scale=1.0).transpose(-2, -3).flatten(-2)
