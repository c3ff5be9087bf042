"""A library of this machine, to search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..embedding import Embedding
from .hits import Hit
from .searcher import Rows, Searcher


class Pictures(Rows, Protocol):
    """`references.library.Library`"""

    @property
    def generation(self) -> int: ...
    @property
    def count(self) -> int: ...
    def where(self, folder: str | None = None, rating: int | None = None, text: str | None = None) -> Any: ...
    def named(self, path: str) -> list[int]: ...
    def picture(self, id: int) -> Any: ...
    def pictures(self, ids: Sequence[int]) -> list[Any]: ...
    def path_of(self, picture: Any) -> Path: ...


class LocalLibrary:
    """A `Searchable` of a library's snapshot. Vectors are read by the first search."""

    def __init__(self, library: Pictures):
        self.library = library
        self.name, self.space = library.name, library.space
        self.generation, self.count = library.generation, library.count
        self.picture, self.pictures, self.path_of = library.picture, library.pictures, library.path_of

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher(self.library)

    def search(
        self,
        query: Embedding,
        k: int = 10,
        *,
        minimum: float | None = None,
        folder: str | None = None,
        rating: int | None = None,
        text: str | None = None,
        exact: bool = True,
    ) -> list[list[Hit]]:
        return self._searcher.search(query, k, minimum=minimum, mask=self._mask(folder, rating, text))

    def newest(self, k: int, *, folder: str | None = None, rating: int | None = None) -> list[int]:
        mask = self._mask(folder, rating)
        ids = self.library.ids() if mask is None else self.library.ids()[mask]
        return ids[::-1][: max(0, k)].tolist()

    def named(self, path: str) -> list[int]:
        return self.library.named(path)

    def vectors_of(self, ids: Sequence[int]) -> Any:
        known = self.library.ids()
        rows = known.searchsorted(ids)
        for id, row in zip(ids, rows, strict=True):
            if row == len(known) or known[row] != id:
                raise ValueError(f'The library "{self.name}" has no picture {id}: it was removed. Search again.')
        return self.library.vectors()[rows].astype("float32")

    def _mask(self, folder: str | None = None, rating: int | None = None, text: str | None = None) -> Any:
        if folder is None and rating is None and text is None:
            return None
        return self.library.where(folder, rating, text)
