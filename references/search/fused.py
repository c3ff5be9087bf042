"""Search several libraries of the same pictures at once, such as one of CLIP and one of a vision-language model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..embedding import Embedding
from ..fusion import DEPTH, fuse
from .hits import Hit
from .searchable import Searchable

File = tuple[str, ...]  # a picture's file: its whole path, or where that is not known what only one library knows


@dataclass(frozen=True)
class FusedHit:
    """A picture of several libraries.

    score: of the fusion, `sum 1 / (60 + rank)`
    rank: in the fusion, from 1
    hits: what each library found of it; None where it is not in a library, or not among the first of it
    """

    score: float
    rank: int
    hits: tuple[Hit | None, ...]


def search_fused(
    libraries: Sequence[Searchable],
    queries: Sequence[Embedding],
    k: int = 10,
    *,
    minimum: float | None = None,
    folder: str | None = None,
) -> list[FusedHit]:
    """The pictures nearest to one question, by the ranks that they have in each library.

    A picture is the same in two libraries if its file is. Of each library the first 1,000 pictures count, or ten times
    `k` where that is more.

    queries: the question in the space of each library, one vector each
    minimum: the lowest score of the first library that counts: scores of another one mean something else
    folder: as `Searchable.search` takes it, of each library

    Raises:
        ValueError: as `Searchable.search`, or the first library shares no picture with another one.
    """
    depth = max(DEPTH, 10 * k)
    found = [
        _by_file(library, library.search(query, depth, minimum=None if number else minimum, folder=folder)[0])
        for number, (library, query) in enumerate(zip(libraries, queries, strict=True))
    ]
    for other, theirs in zip(libraries[1:], found[1:], strict=True):
        _check_shared(libraries[0], found[0], other, theirs)
    fused = fuse([list(each) for each in found])
    if minimum is not None:
        fused = [each for each in fused if each.ranks[0] is not None]
    hits = [(each.score, tuple(some.get(each.id) for some in found)) for each in fused[:k]]
    return [FusedHit(score, rank, some) for rank, (score, some) in enumerate(hits, 1)]


def _by_file(library: Searchable, hits: Sequence[Hit]) -> dict[File, Hit]:
    """{its file: the hit}, in the order of the hits."""
    found: dict[File, Hit] = {}
    for hit, file in zip(hits, _files(library, [hit.id for hit in hits]), strict=True):
        found.setdefault(file, hit)
    return found


def _files(library: Searchable, ids: Sequence[int]) -> list[File]:
    """Of each picture. Folders that are reached by a link are those that the link leads to."""

    @cache
    def real(folder: str) -> str:
        return os.path.realpath(folder)

    return [_file(library, picture, real) for picture in library.pictures(ids)]


def _file(library: Searchable, picture: Any, real: Callable[[str], str]) -> File:
    try:
        folder, name = os.path.split(library.path_of(picture))
    except (ValueError, LookupError):  # of a team, whose folders are not known here
        return library.name, str(picture.root), picture.path
    return (os.path.normcase(os.path.join(real(folder), name)),)


def _check_shared(first: Searchable, ours: dict[File, Hit], other: Searchable, theirs: dict[File, Hit]) -> None:
    """Refuse libraries of different pictures. All are looked at only where what was found has none in common."""
    if not ours.keys().isdisjoint(theirs) or not (first.count and other.count):
        return
    if set(_all_files(first)).isdisjoint(_all_files(other)):
        raise ValueError(
            f"The libraries {first.name!r} and {other.name!r} have no picture in common: the same files have to be in "
            f"both. `library info NAME` shows of which folders they are, `embed FOLDER --library {other.name}` adds "
            "pictures."
        )


def _all_files(library: Searchable) -> list[File]:
    return _files(library, library.newest(library.count))
