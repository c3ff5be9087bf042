"""Attention to a few image tokens on a CPU, where it is faster than the fused kernel (benchmarks/sampling.py).

Rows that attend to the same keys form one sequence, and two matrix products serve all prompts of a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .attended import Attended, Step, Weights, by_head
from .fused import add_attention

# For prompts of up to this many tokens, two matrix products with a softmax over dimension -2 between them, which
# vectorises, are faster than fused attention.
FEW_TOKENS = 64


def _keys_first(q: Tensor, key: Tensor) -> Tensor:
    return torch.bmm(key, q.mT)  # (H, T, D), (H, N, D) -> (H, T, N)


def _queries_first(q: Tensor, key: Tensor) -> Tensor:
    return torch.bmm(q, key.mT).mT.contiguous()


# dtype -> the faster order of the first product. In all other dtypes the fused kernel is faster.
SCORES: dict[torch.dtype, Callable[[Tensor, Tensor], Tensor]] = {
    torch.float32: _keys_first,
    torch.bfloat16: _queries_first,
}


@dataclass(frozen=True, eq=False)
class SequenceKeys:
    """The keys and values that a sequence attends to: the tokens of all its prompts, one prompt after the other.

    rows: the rows of the call that form the sequence
    key, value: (H, T of all prompts, D)
    tokens: T of each prompt
    numbers: `Attended.number` of each prompt
    mask: (P, N), or None if no prompt has one
    shared: whether all rows of the prompts share these keys, rather than one row having them to itself
    """

    rows: slice
    key: Tensor
    value: Tensor
    tokens: tuple[int, ...]
    numbers: tuple[int, ...]
    mask: Tensor | None
    shared: bool


def few_token_steps(q: Tensor, attended: Sequence[Attended], heads: int) -> list[Step]:
    """The steps for image prompts of up to `FEW_TOKENS` tokens: one step on small grids, else one for each sequence."""
    sequences = list(sequence_keys(q.shape[1], attended, heads))
    if sequences and _are_alike(sequences):
        grid = SMALL_GRIDS[q.dtype]
        if q.shape[1] < grid.tokens:
            return [(grid.for_one if len(sequences[0].tokens) == 1 else grid.for_several)(sequences, heads)]
    return [OneSequence([each], heads) for each in sequences]


def sequence_keys(
    length: int, attended: Sequence[Attended], heads: int, *, apart: bool = False
) -> Iterable[SequenceKeys]:
    """The sequences of the prompts: those of the same rows are joined, and rows with references of their own split.

    length: L
    apart: whether all rows are split
    """
    by_rows: dict[tuple[int, int], list[Attended]] = {}
    for each in attended:
        by_rows.setdefault((each.rows.start, each.rows.stop), []).append(each)
    for (start, stop), prompts in by_rows.items():
        shared = not apart and all(each.key.shape[0] == 1 for each in prompts)
        for first, last in [(start, stop)] if shared else [(row, row + 1) for row in range(start, stop)]:
            parts = [_part(each, first, last, length) for each in prompts]
            masks = [mask for *_, mask in parts]
            yield SequenceKeys(
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


def _are_alike(sequences: Sequence[SequenceKeys]) -> bool:
    """Whether sequences are neighbours of equal sizes, as the positive and negative rows of a call usually are."""
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


def softmax_by_prompt(scores: Tensor, tokens: Sequence[int], mask: Tensor | None) -> Tensor:
    """The softmax over the tokens of each prompt, times its mask: scores (..., T of all, N), mask (..., P, N)."""
    if len(tokens) == 1:
        shares = scores.softmax(-2)
        return shares if mask is None else shares.mul_(mask)
    if len(set(tokens)) > 1:
        masks = [None] * len(tokens) if mask is None else [mask[..., n : n + 1, :] for n in range(len(tokens))]
        parts = zip(torch.split(scores, list(tokens), -2), tokens, masks)
        return torch.cat([softmax_by_prompt(part, [count], each) for part, count, each in parts], -2)
    shares = torch.unflatten(scores, -2, (len(tokens), -1)).softmax(-2)  # (..., P, T, N)
    return (shares if mask is None else shares.mul_(mask.unsqueeze(-2))).flatten(-3, -2)


class Weighted:
    """The values and masks of all prompts of a sequence, multiplied by their weights only where the weights differ.

    Then a mask takes them if there is one, because it is smaller than the values in most layers.
    """

    def __init__(self, value: Tensor, mask: Tensor | None, tokens: Sequence[int], numbers: Sequence[int]):
        """Keep values (..., T of all prompts, D) and masks (..., P, N). `numbers`: `Attended.number` of each prompt."""
        self.value, self.mask, self.numbers = value, mask, numbers
        self.repeats = torch.tensor(tokens, device=value.device)
        self.scaled: Tensor | None = None  # the mask, or without one the values
        self.weights: list[float] = []  # those that `scaled` is multiplied by

    def at(self, weights: Weights) -> tuple[Tensor, Tensor | None, float]:
        """The values, the masks, and the factor that is still to be applied to the result."""
        own = [weights[number] for number in self.numbers]
        if len(set(own)) == 1:
            return self.value, self.mask, own[0]
        given = self.value if self.mask is None else self.mask
        if self.scaled is None:
            self.scaled = torch.empty_like(given)
        if self.weights != own:
            factors = given.new_tensor(own)
            factors = factors.repeat_interleave(self.repeats) if self.mask is None else factors
            torch.mul(given, factors.unsqueeze(-1), out=self.scaled)
            self.weights = own
        return (self.scaled, None, 1.0) if self.mask is None else (self.value, self.scaled, 1.0)


class OneSequence:
    """The step of one sequence.

    Its scores are transposed so that the softmax vectorises, and the second product adds straight into the output.
    """

    def __init__(self, sequences: Sequence[SequenceKeys], heads: int):
        (self.keys,) = sequences
        self.heads = heads
        self.weighted = Weighted(self.keys.value, self.keys.mask, self.keys.tokens, self.keys.numbers)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        keys = self.keys
        value, mask, weight = self.weighted.at(weights)
        scores = SCORES[q.dtype](by_head(q[keys.rows].reshape(-1, q.shape[2]), self.heads), keys.key)
        shares = softmax_by_prompt(scores, keys.tokens, mask)  # (H, T of all prompts, N)
        rooms = _joined_rows(out[keys.rows])
        for some, room in zip(shares.chunk(len(rooms), -1), rooms):
            by_head(room, self.heads).baddbmm_(some.mT, value, alpha=weight)


class SequencesInOneProduct:
    """The step of all sequences, with one second product for all: on small grids, starting a kernel costs the most."""

    def __init__(self, sequences: Sequence[SequenceKeys], heads: int):
        first, last = sequences[0], sequences[-1]
        self.rows, self.tokens, self.heads = slice(first.rows.start, last.rows.stop), first.tokens, heads
        self.keys = [each.key for each in sequences]
        value, mask = torch.cat([each.value for each in sequences]), _stacked_masks(sequences)
        self.weighted = Weighted(value, mask, first.tokens, first.numbers)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        value, mask, weight = self.weighted.at(weights)  # value (S * H, T of all prompts, D)
        count, width = len(self.keys), q.shape[2]
        queries = by_head(q[self.rows].reshape(count, -1, width), self.heads)  # (S, H, N, D)
        scores = q.new_empty(count, self.heads, value.shape[1], queries.shape[2])
        for key, some, room in zip(self.keys, queries, scores):
            torch.bmm(key, some.mT, out=room)
        image = torch.bmm(softmax_by_prompt(scores, self.tokens, mask).flatten(0, 1).mT, value)  # (S * H, N, D)
        out = out[self.rows]
        image = image.view(count, self.heads, -1, *out.shape[1:2], image.shape[-1]).transpose(1, 2)
        by_head(out.view(*image.shape[:2], *out.shape[1:]), self.heads).add_(image, alpha=weight)


class SequencesInOneCall:
    """The step of all sequences with one prompt, in a single call of the fused kernel."""

    def __init__(self, sequences: Sequence[SequenceKeys], heads: int):
        first, last = sequences[0], sequences[-1]
        self.rows, self.count, self.heads = slice(first.rows.start, last.rows.stop), len(sequences), heads
        (self.number,) = first.numbers
        self.key = torch.stack([each.key for each in sequences])  # (S, H, T, D)
        self.value = torch.stack([each.value for each in sequences])
        mask = _stacked_masks(sequences)
        self.mask = None if mask is None else mask.view(self.rows.stop - self.rows.start, -1)  # (B, L)

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        queries = by_head(q[self.rows].reshape(self.count, -1, q.shape[2]), self.heads)  # (S, H, N, D)
        add_attention(out[self.rows], queries, self.key, self.value, self.mask, weights[self.number])


def _joined_rows(out: Tensor) -> Sequence[Tensor]:
    """Rows (B, L, I) as views (N, I): all in one, or each alone if other tokens lie between them in memory."""
    if len(out) > 1 and out.stride(0) != out.shape[1] * out.stride(1):
        return out.unbind()
    return (out.flatten(0, 1),)


def _stacked_masks(sequences: Sequence[SequenceKeys]) -> Tensor | None:
    """The masks of the sequences, (S, 1, P, N), or None if no prompt has one."""
    masks = [each.mask for each in sequences]
    like = next((mask for mask in masks if mask is not None), None)
    if like is None:
        return None
    return torch.stack([torch.ones_like(like) if mask is None else mask for mask in masks]).unsqueeze(1)


@dataclass(frozen=True)
class SmallGrid:
    """The faster step for sequences of equal sizes on a small grid.

    tokens: rows with fewer latent tokens than these are on a small grid
    for_one, for_several: the step for sequences with one prompt, and with several
    """

    tokens: int
    for_one: type[SequencesInOneProduct | SequencesInOneCall]
    for_several: type[SequencesInOneProduct | SequencesInOneCall]


SMALL_GRIDS = {
    torch.float32: SmallGrid(1024, SequencesInOneProduct, SequencesInOneProduct),
    torch.bfloat16: SmallGrid(256, SequencesInOneCall, SequencesInOneProduct),
}
