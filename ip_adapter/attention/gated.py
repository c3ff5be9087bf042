"""Attention to an image prompt times a gate that follows the timestep, as the adapters for Anima add it after a block.

    out = out + weight * gate(embedding of the timestep) * attend(q, K_image, V_image)

The gate has a factor for each channel of the inner width. Source: LuciferTC9527/ComfyUI-Anima_IP-Adapter.
"""

from __future__ import annotations

from torch import Tensor

from .attended import NOTHING, Attended, Beside, Weights, by_head, query_by_head
from .fused import attend


class Gated:
    """The step of one image prompt. It computes in the dtype of the output, which may be wider than the query's.

    heads: number of attention heads
    """

    rows = slice(0, 0)  # it reads no row of the text's output

    def __init__(self, each: Attended, heads: int):
        self.own, self.number, self.heads, self.gate = each.rows, each.number, heads, each.layer
        self.key, self.value = by_head(each.key, heads), by_head(each.value, heads)  # (R, H, T, D)
        self.mask = None if each.mask is None else each.mask.unsqueeze(-1)  # (1 or rows, L, 1)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None:
        """Arguments are those of `Plan`, with which it is called."""
        assert self.gate is not None and beside.embedding is not None
        q, out = q[self.own], out[self.own]
        if q.ndim == 3 and len(self.key) == 1:  # one sequence, so that nothing is repeated
            q = q.reshape(1, -1, q.shape[2])
        queries = query_by_head(q, self.heads)
        shape = (len(queries), *self.key.shape[1:])
        image = attend(queries, self.key.expand(shape), self.value.expand(shape)).view(out.shape).to(out.dtype)
        if self.mask is not None:
            image = image * self.mask.to(image.dtype)
        gate = self.gate(beside.embedding[self.own]).unsqueeze(1)  # (rows, 1, I)
        out.addcmul_(image, gate.to(out.dtype), value=weights[self.number])
