"""Attention of queries that keep their heads apart, as those of Flux do, to image tokens on a CPU.

The rows of such a query cannot be joined without a copy, so each is a sequence of its own. A part of its latent tokens
is computed at a time, so that the scores stay in the processor's cache and no call takes large memory from the system.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .attended import Attended, Step, Weights, by_head
from .few_tokens import SCORES, SequenceKeys, Weighted, sequence_keys, softmax_by_prompt

PART = 512  # latent tokens
JOINED = {torch.float32: 15, torch.bfloat16: 32}  # prompts of up to this many image tokens are computed as one


def apart_steps(q: Tensor, attended: Sequence[Attended], heads: int) -> list[Step]:
    """The steps for image prompts of few tokens: for each row, one that joins the short ones, and others."""
    few = [each for each in attended if each.key.shape[1] <= JOINED[q.dtype]]
    groups = [few, *([each] for each in attended if each not in few)]
    return [OneRow(each, heads) for group in groups for each in sequence_keys(q.shape[1], group, heads, apart=True)]


class OneRow:
    """The step of one row. `keys`: what it attends to; `heads`: number of attention heads."""

    def __init__(self, keys: SequenceKeys, heads: int):
        self.keys, self.heads = keys, heads
        self.weighted = Weighted(keys.value, keys.mask, keys.tokens, keys.numbers)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        value, mask, weight = self.weighted.at(weights)
        key = self.keys.key.contiguous()  # products in bf16 copy what is not, and take longer with a factor
        value = torch.mul(value, weight, out=torch.empty_like(value, memory_format=torch.contiguous_format))
        row = self.keys.rows.start
        q, out = q[row].transpose(0, 1), by_head(out[row], self.heads)  # (H, L, D)
        for start in range(0, q.shape[1], PART):
            part = slice(start, start + PART)
            out[:, part].baddbmm_(self._shares(q[:, part], key, None if mask is None else mask[:, part]), value)

    def _shares(self, q: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        """How much of each image token the latent tokens take, (H, N, T)."""
        tokens = self.keys.tokens
        if max(tokens) <= JOINED[q.dtype]:
            return softmax_by_prompt(SCORES[q.dtype](q, key), tokens, mask).mT
        shares = torch.bmm(q, key.mT).softmax(-1)  # long enough to vectorise
        return shares if mask is None else shares.mul_(mask.mT)
