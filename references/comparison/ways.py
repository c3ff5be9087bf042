"""How well each way finds pictures. Letters: N pictures, L labels, D numbers of a vector, W ways."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from ..fusion import DEPTH, fuse
from ..search.scores import best_rows
from .embedding import Clock, Embedded, Vectors
from .recall import first_rank, recall

KEPT = torch.float16  # of the vectors of a library
OF_ALL = "all fused"  # where there are captions


@dataclass(frozen=True)
class Way:
    """How well one way finds pictures.

    name: as it is shown
    parts: names of the ways that are fused in it; none for one encoder
    firsts: for each label the rank of the first picture that has it; None beyond the first 1,000
    picture_ms: of one picture, or of its caption; the median
    query_ms: of one query, embedded and searched for; the median
    size: bytes of the vectors, as a library keeps them
    """

    name: str
    parts: tuple[str, ...]
    firsts: tuple[int | None, ...]
    picture_ms: float
    query_ms: float
    size: int

    def recall(self, k: int) -> float:
        return recall(self.firsts, k)


@dataclass(frozen=True, eq=False)
class _Single:
    """One encoder's vectors of pictures, or of captions: what it found for each label, and how long that took."""

    name: str
    rankings: list[list[int]]
    seconds: list[float]
    picture_ms: float
    size: int


def ways_of(
    encoded: Sequence[tuple[str, Embedded]],
    numbers: Sequence[int],
    right: Sequence[set[int]],
    clock: Clock = time.perf_counter,
) -> list[Way]:
    """Each encoder, each encoder with captions, the encoders fused, and where there are captions all of these fused.

    encoded: (name, what it made)
    numbers: of the pictures that are searched, in ascending order
    right: for each label the pictures that have it, by their place among the numbers
    """
    pictures = [_single(name, each, each.pictures, "picture", numbers, clock) for name, each in encoded]
    captions = [
        _single(f"{name}, captions", each, each.captions, "caption", numbers, clock)
        for name, each in encoded
        if each.captions
    ]
    ways = [_way(each.name, [each], right, clock) for each in (*pictures, *captions)]
    if len(pictures) > 1:
        ways.append(_way("fused", pictures, right, clock))
    if captions:
        ways.append(_way(OF_ALL, [*pictures, *captions], right, clock))
    return ways


def _single(name: str, made: Embedded, vectors: Vectors, of: str, numbers: Sequence[int], clock: Clock) -> _Single:
    rows = torch.stack([vectors[number] for number in numbers]).to(KEPT)  # (N, D)
    rankings, seconds = list[list[int]](), list[float]()
    for query, before in zip(made.queries, made.seconds["query"], strict=True):
        begun = clock()
        rankings.append(_ranking(rows, query))
        seconds.append(before + clock() - begun)
    return _Single(name, rankings, seconds, _ms(made.seconds[of]), rows.numel() * rows.element_size())


def _ranking(rows: Tensor, query: Tensor) -> list[int]:
    """As `search` finds them: exact, of equal scores the first."""
    ((numbers, _),) = best_rows(rows, query[None], min(DEPTH, len(rows)))
    return [int(number) for number in numbers]


def _way(name: str, parts: Sequence[_Single], right: Sequence[set[int]], clock: Clock) -> Way:
    firsts, seconds = list[int | None](), list[float]()
    for label, those in enumerate(right):
        begun, rankings = clock(), [part.rankings[label] for part in parts]
        found = rankings[0] if len(parts) == 1 else [each.id for each in fuse(rankings)]
        seconds.append(sum(part.seconds[label] for part in parts) + (clock() - begun if len(parts) > 1 else 0))
        firsts.append(first_rank(found, those))
    names = tuple(part.name for part in parts) if len(parts) > 1 else ()
    picture_ms = sum(part.picture_ms for part in parts)
    return Way(name, names, tuple(firsts), picture_ms, _ms(seconds), sum(part.size for part in parts))


def _ms(seconds: Sequence[float]) -> float:
    return 1000 * median(seconds) if seconds else 0.0
