"""Attention with the picture's query under a norm of the adapter (Tencent/InstantCharacter).

    out + weight * attend(q', K_image, V_image)

Here q' is the picture's query under the norm of the adapter, and a block offers it under that of the model. Both divide
each head by the root of its mean square and then scale it, so that the ratio of their scales turns one into the other
(they add 1e-6 in different places). There are fewer keys than queries, so the ratio goes to the keys.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import Tensor

from ..layer_networks.normed import CharacterQuery
from .attended import NOTHING, Attended, Beside, Weights, by_head
from .fused import Fused
from .joint_softmax import scale_ratio


class OwnNorm:
    """The step of one image prompt whose adapter norms the picture's query. `heads`: number of attention heads."""

    rows = slice(0, 0)  # it reads no row of the text's output

    def __init__(self, each: Attended, heads: int):
        self.each, self.heads = each, heads
        self.norm = cast(CharacterQuery, each.layer).norm_ip_q

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None:
        """Arguments are those of `Plan`, with which it is called.

        Raises:
            ValueError: the model does not norm its queries.
        """
        (models, _), key = beside.scales, self.each.key
        if models is None:
            raise ValueError("An adapter that norms the query by itself needs a query that the model norms.")
        ratio = scale_ratio(self.norm.weight, models, key).to(key)
        key = (by_head(key, self.heads) * ratio).transpose(-2, -3).flatten(-2)
        Fused(replace(self.each, key=key), self.heads)(q, out, weights)
