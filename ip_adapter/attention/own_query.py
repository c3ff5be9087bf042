"""Attention with a query that an adapter makes of the hidden states to which it adds (PuLID for Flux).

    hidden states + weight * result(attend(query(hidden states), K_image, V_image))

A picture's token is added to after a whole block. The networks before and after the attention are those of
`layer_networks.perceiver`; they have heads of their own. Source: ToTheBeginning/PuLID.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..layer_networks.perceiver import PerceiverQuery
from .attended import NOTHING, Attended, Beside, Weights, by_head
from .fused import attend


class OwnQuery:
    """The step of one image prompt that does not use the query of the block, and so none of its heads."""

    def __init__(self, each: Attended, _heads: int):
        self.rows, self.number = each.rows, each.number
        self.layer = cast(PerceiverQuery, each.layer)
        self.key, self.value = (by_head(tokens, self.layer.heads) for tokens in (each.key, each.value))  # (R, H, T, D)
        self.mask = None if each.mask is None else each.mask.unsqueeze(-1)  # (1 or rows, L, 1)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None:
        """Arguments are those of `Plan`, with which it is called."""
        out, weight = out[self.rows], weights[self.number]
        added = self._added(out if beside.text is None else beside.text[self.rows])
        if self.mask is None:
            out.add_(added, alpha=weight)
        else:
            out.addcmul_(added, self.mask, value=weight)

    def _added(self, hidden: Tensor) -> Tensor:
        """What is added to hidden states (B, L, W), which are like them."""
        query = by_head(self.layer.query(hidden), self.layer.heads)  # (B, H, L, D)
        shape = (len(query), *self.key.shape[1:])
        return self.layer.result(attend(query, self.key.expand(shape), self.value.expand(shape)))
