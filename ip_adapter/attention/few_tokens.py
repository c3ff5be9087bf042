"""Attention to a few image tokens on a CPU, where it is faster than the fused kernel (benchmarks/sampling.py).

Queries that see the same keys are one sequence, and all prompts of a sequence take part in the same two products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .attended import Attended, Step, Weights, by_head
from .fused import add_attention

# Up to this many tokens of a prompt, a softmax over dimension -2, which vectorises, between two matrix products beats
# fused attention.
FEW_TOKENS = 64


def _keys_first(q: Tensor, key: Tensor) -> Tensor:
    return torch.bmm(key, q.mT)  # (H, T, D), (H, N, D) -> (H, T, N)


def _queries_first(q: Tensor, key: Tensor) -> Tensor:
    return torch.bmm(q, key.mT).mT.contiguous()


# The order of the first product that is faster in a dtype; in others the fused kernel wins.
SCORES: dict[torch.dtype, Callable[[Tensor, Tensor], Tensor]] = {
    torch.float32: _keys_first,
    torch.bfloat16: _queries_first,
}


@dataclass(frozen=True, eq=False)
class Keys:
    """What a sequence sees: the tokens of all its prompts in a row.

    rows: of the call
    key, value: (H, T of all prompts, D)
    tokens: T of each prompt. numbers: `Attended.number` of each
    mask: (P, N), or None where no prompt has one
    shared: by all rows, instead of being the reference of one
    """

    rows: slice
    key: Tensor
    value: Tensor
    tokens: tuple[int, ...]
    numbers: tuple[int, ...]
    mask: Tensor | None
    shared: bool


def few_token_steps(q: Tensor, attended: Sequence[Attended], heads: int) -> list[Step]:
    sequences = list(_sequences(q.shape[1], attended, heads))
    if sequences and _are_alike(sequences):
        grid = SMALL_GRIDS[q.dtype]
        if q.shape[1] < grid.tokens:
            return [(grid.for_one if len(sequences[0].tokens) == 1 else grid.for_several)(sequences, heads)]
    return [OneSequence([each], heads) for each in sequences]


def _sequences(length: int, attended: Sequence[Attended], heads: int) -> Iterable[Keys]:
    """The prompts of the same rows together; row by row where each row has its own reference."""
    by_rows: dict[tuple[int, int], list[Attended]] = {}
    for each in attended:
        by_rows.setdefault((each.rows.start, each.rows.stop), []).append(each)
    for (start, stop), prompts in by_rows.items():
        shared = all(each.key.shape[0] == 1 for each in prompts)
        for first, last in [(start, stop)] if shared else [(row, row + 1) for row in range(start, stop)]:
            parts = [_part(each, first, last, length) for each in prompts]
            masks = [mask for *_, mask in parts]
            yield Keys(
                slice(first, last),
                by_head(_joined([key for key, _, _ in parts]), heads),
                by_head(_joined([value for _, value, _ in parts]), heads),
                tuple(len(key) for key, _, _ in parts),
                tuple(each.number for each in prompts),
                _joined_masks(masks, (last - first) * length),
                shared,
            )


def _part(each: Attended, first: int, last: int, length: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Key and value (T, I) and mask (1, N) of the rows from `first` to `last`."""
    start = each.rows.start
    row = 0 if each.key.shape[0] == 1 else first - start
    if each.mask is None:
        return each.key[row], each.value[row], None
    mask = each.mask.expand(each.rows.stop - start, length)[first - start : last - start]
    return each.key[row], each.value[row], mask.reshape(1, -1)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _joined_masks(masks: Sequence[Tensor | None], count: int) -> Tensor | None:
    like = next((mask for mask in masks if mask is not None), None)
    if like is None:
        return None
    return _joined([like.new_ones(1, count) if mask is None else mask for mask in masks])


def _are_alike(sequences: Sequence[Keys]) -> bool:
    """Whether they are neighbours of the same sizes, as the positive and the negative rows of a call as a rule."""
    first, *others = sequences
    size = first.rows.stop - first.rows.start
    starts = [each.rows.start for each in sequences]
    return (
        bool(others)
        and all(each.shared for each in sequences)
        and all(each.rows.stop - each.rows.start == size and each.tokens == first.tokens for each in others)
        and all(each.numbers == first.numbers for each in others)
        and starts == list(range(starts[0], starts[0] + len(starts) * size, size))
    )


def _shares(scores: Tensor, tokens: Sequence[int], mask: Tensor | None) -> Tensor:
    """The softmax over the tokens of each prompt, times its mask: scores (..., T of all, N), mask (..., P, N)."""
    if len(tokens) == 1:
        shares = scores.softmax(-2)
        return shares if mask is None else shares.mul_(mask)
    if len(set(tokens)) > 1:
        masks = [None] * len(tokens) if mask is None else [mask[..., n : n + 1, :] for n in range(len(tokens))]
        parts = zip(torch.split(scores, list(tokens), -2), tokens, masks)
        return torch.cat([_shares(part, [count], each) for part, count, each in parts], -2)
    shares = torch.unflatten(scores, -2, (len(tokens), -1)).softmax(-2)  # (..., P, T, N)
    return (shares if mask is None else shares.mul_(mask.unsqueeze(-2))).flatten(-3, -2)


@dataclass(eq=False)
class WeightedValue:
    """The values of all prompts of a sequence, which take their weights one by one only where these differ."""

    value: Tensor  # (..., T of all prompts, D)
    tokens: Sequence[int]
    numbers: Sequence[int]
    scaled: tuple[list[float], Tensor] | None = field(default=None, init=False)

    def at(self, weights: Weights) -> tuple[Tensor, float]:
        """The values, and the factor that is left."""
        own = [weights[number] for number in self.numbers]
        if len(set(own)) == 1:
            return self.value, own[0]
        if self.scaled is None or self.scaled[0] != own:
            factors = [weight for weight, count in zip(own, self.tokens) for _ in range(count)]
            self.scaled = own, self.value * self.value.new_tensor(factors).unsqueeze(-1)
        return self.scaled[1], 1.0


class OneSequence:
    """Scores transposed, so that the softmax vectorises; the second product adds straight into the output."""

    def __init__(self, sequences: Sequence[Keys], heads: int):
        (self.keys,) = sequences
        self.heads = heads
        self.value = WeightedValue(self.keys.value, self.keys.tokens, self.keys.numbers)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        keys, width = self.keys, q.shape[2]
        value, weight = self.value.at(weights)
        scores = SCORES[q.dtype](by_head(q[keys.rows].reshape(-1, width), self.heads), keys.key)
        shares = _shares(scores, keys.tokens, keys.mask)  # (H, T of all prompts, N)
        by_head(out[keys.rows].view(-1, width), self.heads).baddbmm_(shares.mT, value, alpha=weight)


class SequencesInOneProduct:
    """The second product of all sequences at once. On small grids the cost of a call of a kernel is what counts."""

    def __init__(self, sequences: Sequence[Keys], heads: int):
        first, last = sequences[0], sequences[-1]
        self.rows, self.tokens, self.heads = slice(first.rows.start, last.rows.stop), first.tokens, heads
        self.keys = [each.key for each in sequences]
        self.value = WeightedValue(torch.cat([each.value for each in sequences]), first.tokens, first.numbers)
        self.mask = _stacked_masks(sequences)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        value, weight = self.value.at(weights)  # (S * H, T of all prompts, D)
        count, width = len(self.keys), q.shape[2]
        queries = by_head(q[self.rows].reshape(count, -1, width), self.heads)  # (S, H, N, D)
        scores = q.new_empty(count, self.heads, value.shape[1], queries.shape[2])
        for key, some, room in zip(self.keys, queries, scores):
            torch.bmm(key, some.mT, out=room)
        image = torch.bmm(_shares(scores, self.tokens, self.mask).flatten(0, 1).mT, value)  # (S * H, N, D)
        out = by_head(out[self.rows].view(count, -1, width), self.heads)
        out.add_(torch.unflatten(image, 0, (count, -1)), alpha=weight)


class SequencesInOneCall:
    """The fused kernel for all sequences at once, which have one prompt."""

    def __init__(self, sequences: Sequence[Keys], heads: int):
        first, last = sequences[0], sequences[-1]
        self.rows, self.count, self.heads = slice(first.rows.start, last.rows.stop), len(sequences), heads
        (self.number,) = first.numbers
        self.key = torch.stack([each.key for each in sequences])  # (S, H, T, D)
        self.value = torch.stack([each.value for each in sequences])
        mask = _stacked_masks(sequences)
        self.mask = None if mask is None else mask.flatten(1)  # (S, N)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        width = q.shape[2]
        queries = by_head(q[self.rows].reshape(self.count, -1, width), self.heads)  # (S, H, N, D)
        out = out[self.rows].view(self.count, -1, width)
        add_attention(out, queries, self.key, self.value, self.mask, weights[self.number])


def _stacked_masks(sequences: Sequence[Keys]) -> Tensor | None:
    """(S, 1, P, N), or None where no prompt has one."""
    masks = [each.mask for each in sequences]
    like = next((mask for mask in masks if mask is not None), None)
    if like is None:
        return None
    return torch.stack([torch.ones_like(like) if mask is None else mask for mask in masks]).unsqueeze(1)


@dataclass(frozen=True)
class SmallGrid:
    """What is faster for sequences that are alike, of rows of fewer latent tokens: with one prompt, with several."""

    tokens: int
    for_one: type[SequencesInOneProduct | SequencesInOneCall]
    for_several: type[SequencesInOneProduct | SequencesInOneCall]


SMALL_GRIDS = {
    torch.float32: SmallGrid(1024, SequencesInOneProduct, SequencesInOneProduct),
    torch.bfloat16: SmallGrid(256, SequencesInOneCall, SequencesInOneProduct),
}
