"""Attention to one image prompt by torch's fused kernel, for GPUs and for many tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .attended import Attended, Weights, by_head, query_by_head


@dataclass(frozen=True, eq=False)
class Fused:
    """The step of one image prompt. `heads`: number of attention heads."""

    each: Attended
    heads: int

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        each, rows = self.each, self.each.rows
        q, out, mask = q[rows], out[rows], each.mask
        key, value = by_head(each.key, self.heads), by_head(each.value, self.heads)
        if q.ndim == 3 and len(key) == 1:  # one sequence, so that nothing is repeated
            q = q.reshape(1, -1, q.shape[2])
        queries = query_by_head(q, self.heads)
        shape = (len(queries), *key.shape[1:])
        add_attention(out, queries, key.expand(shape), value.expand(shape), mask, weights[each.number])


def add_attention(out: Tensor, q: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, weight: float) -> None:
    """Add weight * mask * attend(q, key, value) to `out` in place.

    Shapes: out (B, L, I), q (S, H, N, D), key and value (S, H, T, D), mask (1 or B, L) or None.
    """
    image = F.scaled_dot_product_attention(q, key, value, scale=1.0).transpose(1, 2)  # (S, N, H, D)
    out = torch.unflatten(out, -1, image.shape[2:])
    image = image.view(out.shape)
    if mask is None:
        out.add_(image, alpha=weight)
    else:
        out.addcmul_(image, mask[:, :, None, None], value=weight)


def attend(q: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Queries (S, H, N, D) attend to keys and values (S, H, T, D): (S, N, I)."""
    return F.scaled_dot_product_attention(q, key, value, scale=1.0).transpose(-2, -3).flatten(-2)
