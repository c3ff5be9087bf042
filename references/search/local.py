"""A library of this machine, to search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..embedding import Embedding
from ..library import Library
from .hits import Hit
from .searcher import Searcher


class LocalLibrary:
    """A `Searchable` of a library's snapshot. Vectors are read by the first search."""

    def __init__(self, library: Library):
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

    def repeated(self, paths: Sequence[str]) -> set[str]:
        return self.library.repeated(paths)

    def vectors_of(self, ids: Sequence[int]) -> Any:
        try:
            return self.library.vectors_of(ids).astype("float32")
        except KeyError as error:
            raise ValueError(f"{error.args[0]} It was removed: search again.") from error

    def _mask(self, folder: str | None = None, rating: int | None = None, text: str | None = None) -> Any:
        if folder is None and rating is None and text is None:
            return None
        return self.library.where(folder, rating, text)
