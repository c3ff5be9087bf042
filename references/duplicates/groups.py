"""Groups of pictures that are the same file, the same picture, or similar.

The kept picture of a group is the largest, then the earliest. A chain of alike pictures can join two that are not.
Where that must not be, pictures are compared only with those that are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..rows import check_lengths, rows_of
from .pairs import Alike, OnProgress, chained, unchained

SAME_FILE, SAME_PICTURE, SIMILAR = WORDS = ("same file", "same picture", "similar")
SAME = 0.95  # cosine above which pictures may be the same, if their hashes are near too
THRESHOLD = 0.90  # cosine above which pictures are called similar


@dataclass(frozen=True)
class Group:
    """Numbers of pictures, counted from 0 as they were given.

    why: "same file", "same picture" or "similar"
    """

    kept: int
    others: tuple[int, ...]
    why: str


def same_file(sha256: Sequence[str], sizes: Sequence[int] | None = None) -> list[Group]:
    """Groups of files with equal contents. An empty SHA-256 equals no other."""
    kept: dict[str, int] = {}
    for number in _order(len(sha256), sizes):
        kept.setdefault(sha256[number], number)
    stand = [kept[each] if each else number for number, each in enumerate(sha256)]
    return _groups(stand, SAME_FILE)


def same_picture(
    vectors: Any,
    hashes: Sequence[int | None],
    sizes: Sequence[int] | None = None,
    *,
    chain: bool = True,
    on_progress: OnProgress = lambda done, total: None,
) -> list[Group]:
    """Groups of one picture, encoded or resized differently: at most 4 of 64 bits of the hashes differ, and the cosine
    is above 0.95. Parameters and errors as of `similar`; hashes: of `dhash`, None where there is none."""
    return _groups(_stand(vectors, SAME, hashes, sizes, chain, on_progress), SAME_PICTURE)


def similar(
    vectors: Any,
    threshold: float = THRESHOLD,
    sizes: Sequence[int] | None = None,
    *,
    chain: bool = True,
    on_progress: OnProgress = lambda done, total: None,
) -> list[Group]:
    """Groups of pictures whose cosine is above a threshold.

    vectors: (N, D) of length 1, a tensor or a numpy array
    sizes: of the pictures, such as width * height: the largest is kept; without them, the earliest
    chain: whether pictures are of one group if a chain of alike ones leads from one to the other. Otherwise each is
        alike to the kept one.
    on_progress: called with how much was done, and of how much. What it raises ends the comparison.

    Raises:
        ValueError: vectors that are not of length 1, other lists than one entry for each, or a threshold outside -1..1.
    """
    return _groups(_stand(vectors, threshold, None, sizes, chain, on_progress), SIMILAR)


def unique(
    vectors: Any,
    hashes: Sequence[int | None] | None = None,
    threshold: float | None = None,
    sizes: Sequence[int] | None = None,
    *,
    chain: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> tuple[list[int], list[Group]]:
    """The numbers of the pictures that are kept, ascending, and the groups in which they stand for others.

    hashes: with them, pictures are kept that are not the same; without, those that are not similar
    threshold: the cosine, 0.95 with hashes and 0.90 without

    For the other parameters, and for errors, see `similar`.
    """
    if threshold is None:
        threshold = THRESHOLD if hashes is None else SAME
    groups = _groups(
        _stand(vectors, threshold, hashes, sizes, chain, on_progress), SIMILAR if hashes is None else SAME_PICTURE
    )
    left_out = {number for group in groups for number in group.others}
    return [number for number in range(len(vectors)) if number not in left_out], groups


def _stand(
    vectors: Any,
    threshold: float,
    hashes: Sequence[int | None] | None,
    sizes: Sequence[int] | None,
    chain: bool,
    on_progress: OnProgress,
) -> list[int]:
    """The number of the picture that stands for each."""
    rows = rows_of(vectors)
    check_lengths(rows)
    if not -1 <= threshold <= 1:
        raise ValueError(f"The cosine above which pictures are similar is a number from -1 to 1, not {threshold}.")
    _check_count("hashes", hashes, len(rows))
    order = torch.tensor(_order(len(rows), sizes), dtype=torch.int64)
    stand = (chained if chain else unchained)(Alike(rows, threshold, hashes), order, on_progress)
    found = torch.empty_like(order)
    found[order] = order[stand]
    return [int(number) for number in found]


def _order(count: int, sizes: Sequence[int] | None) -> list[int]:
    """The numbers of the pictures, the largest first, and of equally large ones the earliest."""
    _check_count("sizes", sizes, count)
    return sorted(range(count), key=lambda number: 0 if sizes is None else -sizes[number])


def _check_count(name: str, given: Sequence[object] | None, count: int) -> None:
    if given is not None and len(given) != count:
        raise ValueError(f"{len(given)} {name} of {count} pictures: give one of each, in the order of the pictures.")


def _groups(stand: Sequence[int], why: str) -> list[Group]:
    """The groups of more than one picture, by their kept ones."""
    others: dict[int, list[int]] = defaultdict(list)
    for number, kept in enumerate(stand):
        if kept != number:
            others[kept].append(number)
    return [Group(kept, tuple(others[kept]), why) for kept in sorted(others)]
