"""One softmax over the picture's own keys and those of the image prompt (InstantX/SD3.5-Large-IP-Adapter).

    out + weight * attend(q', cat(k', K_image), cat(v, V_image))

Here q' and k' are the picture's query and key under the norms of the adapter, and a block offers them under those of
the model. Both norms divide each head by the root of its mean square (eps 1e-6) and then scale it, so that the ratio of
their scales turns one into the other. The ratio of the queries goes to the keys, which have to be copied anyway:

    q' . k' = q . (k * ratio of keys * ratio of queries)        q' . K_image = q . (K_image * ratio of queries)
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ..layer_networks.timed import TimedNorms
from .attended import NOTHING, Attended, Beside, Weights, query_by_head
from .fused import add_attention


class JointSoftmax:
    """The step of one image prompt that attends together with the picture itself. `heads`: number of attention heads.

    If a block offers no value of the picture, only what the image prompt adds is added.
    """

    rows = slice(0, 0)  # it reads no row of the text's output

    def __init__(self, each: Attended, heads: int):
        self.each, self.heads = each, heads
        self.norms = cast(TimedNorms, each.layer)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None:
        """Arguments are those of `Plan`, with which it is called.

        Raises:
            ValueError: the block does not offer the picture's key, or the model does not norm it.
        """
        each, rows = self.each, self.each.rows
        query = query_by_head(q[rows], self.heads)  # (B, H, L, D)
        if beside.key is None or None in beside.scales:
            raise ValueError("An adapter that attends together with the picture needs the key that the model norms.")
        of_query, of_key = (
            scale_ratio(norm.weight, cast(Tensor, models), query)
            for norm, models in zip((self.norms.norm_q, self.norms.norm_k), beside.scales, strict=True)
        )
        of_key = of_key * of_query * query.shape[-1] ** -0.5  # the key of the image prompt has the softmax scale in it
        own_value = None if beside.value is None else beside.value[rows]
        key = _joined(query, (beside.key[rows], of_key), (each.key, of_query))
        value = _joined(query, (own_value, None), (each.value, None))
        add_attention(out[rows], query, key, value, each.mask, weights[each.number])


Scaled = tuple[Tensor | None, Tensor | None]  # (B or 1, N, I), None for zeros, and what it is multiplied by, (D,)


def _joined(query: Tensor, own: Scaled, image: Scaled) -> Tensor:
    """What the picture has and what the image prompt has, (B, H, L + T, D). It is the only copy that is made."""
    batch, heads, length, width = query.shape
    assert image[0] is not None
    both = query.new_empty(batch, length + image[0].shape[1], heads, width)
    for part, (given, factor) in ((both[:, :length], own), (both[:, length:], image)):
        if given is None:
            part.zero_()
            continue
        apart = torch.unflatten(given, -1, (heads, width)).expand_as(part)
        if factor is None:
            part.copy_(apart)
        else:
            torch.mul(apart, factor.to(part), out=part)
    return both.transpose(1, 2)


def scale_ratio(own: Tensor, models: Tensor, like: Tensor) -> Tensor:
    """The scale of the adapter's norm over that of the model's, (D,); 0 where the model's is 0: nothing is left."""
    mine, theirs = (scale.to(like.device, torch.float32) for scale in (own, models))
    return torch.where(theirs == 0, 0.0, mine / theirs)
