"""Reciprocal rank fusion: one ranking of several. Standard library only.

Scores of two spaces do not compare, ranks do: https://dl.acm.org/doi/10.1145/1571941.1572114 (Cormack, Clarke,
Büttcher 2009), where 60 was found to suit many rankings.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = 60
DEPTH = 1000  # of each ranking: what is further down would add less than 1/1060

Id = TypeVar("Id", bound=Hashable)


@dataclass(frozen=True)
class Fused(Generic[Id]):
    """An id of several rankings.

    score: the sum of weight / (60 + rank)
    rank: among all, from 1
    ranks: in each ranking, from 1; None where it is not in it
    """

    id: Id
    score: float
    rank: int
    ranks: tuple[int | None, ...]


def fuse(rankings: Sequence[Sequence[Id]], weights: Sequence[float] | None = None, k: int = K) -> list[Fused[Id]]:
    """The ids of all rankings, the highest score first.

    Scores do not depend on the order of the rankings. Of equal scores, the order of the first ranking counts, and ids
    that are not in it follow in the order of the next one: the first ranking is the one that is trusted more.

    rankings: ids, best first; an id may be in some of them only
    weights: how much each ranking counts; equally without them
    k: the larger, the less the first places stand out

    Raises:
        ValueError: there is no ranking, one has an id twice, or a weight or k is no number that can be used.
    """
    _check(rankings, weights, k)
    weights = [1.0] * len(rankings) if weights is None else weights
    ranks: dict[Id, list[int | None]] = {}
    for number, ranking in enumerate(rankings):
        for rank, each in enumerate(ranking, 1):
            ranks.setdefault(each, [None] * len(rankings))[number] = rank
    scores = {each: _score(places, weights, k) for each, places in ranks.items()}
    order = sorted(ranks, key=scores.__getitem__, reverse=True)  # which keeps the order of equals
    return [Fused(each, scores[each], rank, tuple(ranks[each])) for rank, each in enumerate(order, 1)]


def _score(ranks: Sequence[int | None], weights: Sequence[float], k: int) -> float:
    """`fsum` is exact before it rounds, so that no order of the rankings gives another score."""
    return math.fsum(weight / (k + rank) for rank, weight in zip(ranks, weights, strict=True) if rank is not None)


def _check(rankings: Sequence[Sequence[Id]], weights: Sequence[float] | None, k: int) -> None:
    if not rankings:
        raise ValueError("There is no ranking to fuse: give one or more.")
    for number, ranking in enumerate(rankings, 1):
        if len(set(ranking)) < len(ranking):
            raise ValueError(f"Ranking {number} of {len(rankings)} has an id twice: each has one rank.")
    if weights is not None and len(weights) != len(rankings):
        raise ValueError(f"There are {len(weights)} weights for {len(rankings)} rankings: give one for each.")
    if weights is not None and not all(math.isfinite(each) and each >= 0 for each in weights):
        raise ValueError(f"Weights are numbers from 0 on, not {list(weights)}.")
    if k < 0:
        raise ValueError(f"The k of the fusion is 0 or more, usually {K}, not {k}.")
