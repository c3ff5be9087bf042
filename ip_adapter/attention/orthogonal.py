"""Attention to an image prompt without what it shares with the text (PuLID, https://arxiv.org/abs/2404.16022).

With the text's output t and that of the image i, the part that they share is, in each channel of the inner width,

    shared = sum(t * i) / sum(t * t) * t        sums over the latent tokens of a row

"orthogonal" adds i - shared. "orthogonal v2" adds i + (a - 1) * shared, where a latent token that attends to the
identity keeps what is shared: a is the attention to the first five tokens, the mean over the heads, in a softmax of the
scores without their scale. Source: ToTheBeginning/PuLID.

"orthogonal v2, one head" is the same, but the scores are those of all heads together, and a is the mean over the latent
tokens of a row, so that all of them keep as much. Source: cubiq/PuLID_ComfyUI.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .attended import NOTHING, Attended, Beside, Weights, by_head
from .fused import attend

IDENTITY_TOKENS = 5  # those of the identity come first, in both versions of PuLID


class Orthogonal:
    """The step of one image prompt that reads the text's output. `heads`: number of attention heads."""

    def __init__(self, each: Attended, heads: int):
        self.rows, self.number, self.heads = each.rows, each.number, heads
        self.key, self.value = by_head(each.key, heads), by_head(each.value, heads)  # (R, H, T, D)
        self.mask = None if each.mask is None else each.mask.unsqueeze(-1).float()  # (1 or rows, L, 1)
        # the scale is undone once, and in fp32, because scores without it are large
        self.unscaled = self.key.float() * self.key.shape[-1] ** 0.5 if each.combine != "orthogonal" else None
        self.is_one_head = each.combine == "orthogonal v2, one head"

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None:
        """Arguments are those of `Plan`, with which it is called."""
        q, out = q[self.rows], out[self.rows]
        known = (out if beside.text is None else beside.text[self.rows]).float()
        added = self._added(by_head(q.reshape(len(self.key), -1, q.shape[2]), self.heads), known)
        weight = weights[self.number]
        if self.mask is None:
            out.add_(added, alpha=weight)
        else:
            out.addcmul_(added, self.mask, value=weight)

    def _added(self, q: Tensor, text: Tensor) -> Tensor:
        """What is added to the text's output, like it in fp32, (rows, L, I). q: (R, H, N, D)."""
        image = attend(q, self.key, self.value).reshape(text.shape).float()
        both, own = (text * image).sum(1, keepdim=True), (text * text).sum(1, keepdim=True)
        shared = both / own.clamp_min(torch.finfo(own.dtype).tiny)  # (rows, 1, I), of text; with no text, 0
        if self.unscaled is None:
            return image.addcmul_(shared, text, value=-1)
        identity = self._identity(q, self.unscaled).view(*text.shape[:2], 1)
        identity = identity.mean(1, keepdim=True) if self.is_one_head else identity
        return image.addcmul_(shared * text, identity - 1)

    def _identity(self, q: Tensor, key: Tensor) -> Tensor:
        """How much each latent token attends to the identity, (R, N)."""
        scores = key @ q.float().mT  # (R, H, T, N)
        scores = scores.sum(1, keepdim=True) if self.is_one_head else scores
        shares = scores.softmax(-2)  # over dimension -2, which vectorises
        return shares[:, :, :IDENTITY_TOKENS].sum(-2).mean(1)
