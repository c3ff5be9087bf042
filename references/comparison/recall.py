"""Recall, as retrieval by texts is measured: https://arxiv.org/abs/2103.00020, table 13. Standard library only."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from math import comb


def first_rank(ranking: Iterable[int], right: Container[int]) -> int | None:
    """The rank, from 1, of the first right picture of a ranking; None if there is none in it."""
    return next((rank for rank, each in enumerate(ranking, 1) if each in right), None)


def recall(firsts: Sequence[int | None], k: int) -> float:
    """Recall at k: the share of queries, 0..1, that find a right picture among the first k.

    firsts: for each query the `first_rank`

    Raises:
        ValueError: there is no query, or k is below 1.
    """
    _check(firsts, k)
    return sum(first is not None and first <= k for first in firsts) / len(firsts)


def chance(counts: Sequence[int], total: int, k: int) -> float:
    """The recall at k that pictures in a random order have on average.

    Of `total` pictures n are right, so that none is among the first k with C(total - n, k) / C(total, k).

    counts: for each query, how many pictures are right

    Raises:
        ValueError: there is no query, k is below 1, or more are right than there are.
    """
    _check(counts, k)
    if not all(0 <= count <= total for count in counts):
        raise ValueError(f"Of {total} pictures, {max(counts)} cannot be right.")
    k = min(k, total)
    return sum(1 - comb(total - count, k) / comb(total, k) for count in counts) / len(counts)


def _check(queries: Sequence[object], k: int) -> None:
    if not queries:
        raise ValueError("There is no query, and so no recall.")
    if k < 1:
        raise ValueError(f"Recall at {k} says nothing: k is 1 or more.")
