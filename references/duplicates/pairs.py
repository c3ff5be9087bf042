"""Which rows are alike, block by block: all pairs of many pictures are compared, and never all kept in memory.

Letters: N rows, D numbers of each, I and J rows of two blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..search.scores import LONGEST, fast_dtype
from .hashing import distances

BLOCK = 2048  # rows that are compared with as many
MOST_BITS = 4  # of 64, by which hashes of the same picture differ
OnProgress = Callable[[int, int], None]  # pairs of blocks compared, and of how many


class Alike:
    """Whether pictures are alike: their cosine is above a threshold, and if there are hashes, these are near too.

    rows: (N, D), of length 1
    hashes: of `dhash`; None where a picture has none, which then is alike to no other
    """

    def __init__(self, rows: Tensor, threshold: float, hashes: Sequence[int | None] | None = None):
        self._rows, self._threshold, self._dtype = rows, threshold, fast_dtype(True)
        self._hashes = None if hashes is None else torch.tensor([_signed(each or 0) for each in hashes])
        self._hashed = None if hashes is None else torch.tensor([each is not None for each in hashes])

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """(I, J) of bool for the numbers of the rows of two blocks: what float64 says."""
        (left, off_left), (right, off_right) = self._cast(a), self._cast(b)
        fast = left @ right.T
        # the product and the threshold are rounded to half of `eps` each
        error = off_left + off_right + self._rows.shape[1] * 2**-24 + torch.finfo(fast.dtype).eps
        alike = fast >= self._threshold - error
        i, j = (alike & (fast <= self._threshold + error)).nonzero(as_tuple=True)
        alike[i, j] = _exact(self._rows, a[i], b[j]) > self._threshold
        if self._hashes is not None and self._hashed is not None:
            i, j = alike.nonzero(as_tuple=True)
            near = distances(self._hashes[a[i]], self._hashes[b[j]]) <= MOST_BITS
            alike[i, j] = near & self._hashed[a[i]] & self._hashed[b[j]]
        return alike

    def _cast(self, numbers: Tensor) -> tuple[Tensor, float]:
        """Rows in the dtype that is multiplied fastest, and how far that can put a product off."""
        rows = self._rows[numbers].float()
        cast = rows.to(self._dtype)
        return cast, float((rows - cast.float()).square().sum(dim=1).amax().sqrt()) * LONGEST


def _exact(rows: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The cosines of pairs of rows in float64."""
    scores = torch.empty(len(a), dtype=torch.float64)
    for begin in range(0, len(a), BLOCK):
        block = slice(begin, begin + BLOCK)
        scores[block] = (rows[a[block]].double() * rows[b[block]].double()).sum(dim=1)
    return scores


def _signed(hash: int) -> int:
    return hash - (hash >> 63 << 64)


def chained(alike: Alike, order: Tensor, on_progress: OnProgress) -> Tensor:
    """(N,), the place in the order of the first of each one's group. Two are of one group if a chain of alike ones
    leads from one to the other.

    order: (N,), numbers of rows
    """
    first, blocks = torch.arange(len(order)), _blocks(len(order))
    pairs = [(a, b) for last, b in enumerate(blocks) for a in blocks[: last + 1]]
    for done, (a, b) in enumerate(pairs, 1):
        i, j = alike.between(order[a], order[b]).nonzero(as_tuple=True)
        first = _joined(first, a[i], b[j])
        on_progress(done, len(pairs))
    return first


def _joined(first: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The groups after those of pairs were joined."""
    while True:
        low, high = first[a].minimum(first[b]), first[a].maximum(first[b])
        apart = low != high
        if not bool(apart.any()):
            return first
        a, b = a[apart], b[apart]
        first = first.scatter_reduce(0, high[apart], low[apart], "amin")
        while not torch.equal(first, first[first]):
            first = first[first]


def unchained(alike: Alike, order: Tensor, on_progress: OnProgress) -> Tensor:
    """(N,), the place in the order of the first kept one that each is alike to. One is kept, and stands for itself, if
    it is alike to none that was kept before it."""
    stand, kept, blocks = torch.arange(len(order)), torch.empty(0, dtype=torch.int64), _blocks(len(order))
    for done, left in enumerate(blocks, 1):
        for begin in range(0, len(kept), BLOCK):
            some = kept[begin : begin + BLOCK]
            matches = alike.between(order[left], order[some])
            found = matches.any(dim=1)
            stand[left[found]] = some[matches[found].int().argmax(dim=1)]
            left = left[found.logical_not()]
            if not len(left):
                break
        else:
            _stand_among(stand, left, alike.between(order[left], order[left]))
        kept = torch.cat([kept, left[stand[left] == left]])
        on_progress(done, len(blocks))
    return stand


def _stand_among(stand: Tensor, places: Tensor, matches: Tensor) -> None:
    """Set which ones stand for those at these places, if none that was kept before is alike to any of them."""
    matches.fill_diagonal_(True)  # a length of a little less than 1 has a cosine of less than 1 with itself
    open = torch.ones(len(places), dtype=torch.bool)
    for number in range(len(places)):
        if open[number]:
            taken = matches[number] & open
            stand[places[taken]] = places[number]
            open &= taken.logical_not()


def _blocks(count: int) -> list[Tensor]:
    return [torch.arange(begin, min(begin + BLOCK, count)) for begin in range(0, count, BLOCK)]
