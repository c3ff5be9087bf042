"""What everything that can be searched has in common: libraries of this machine, and those of a team."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ..embedding import Embedding
from ..space import Space
from .hits import Hit


class Searchable(Protocol):
    """A snapshot, whatever is written later.

    Pictures are `references.library.Picture`; which ones folder, rating and text choose, `Library.where` says.

    generation: grows with each write, so that what was found before is not taken for new
    """

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> Space: ...
    @property
    def generation(self) -> int: ...
    @property
    def count(self) -> int: ...

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
        """The k nearest pictures of each vector of the query, nearest first; of equally near ones, the lower id.

        minimum: the lowest score that counts
        exact: whether an index that may miss some must not be used

        Raises:
            ValueError: another space, a query without a direction, k below 1, or a minimum that is no number.
        """
        ...

    def newest(self, k: int, *, folder: str | None = None, rating: int | None = None) -> list[int]:
        """The ids of the pictures that were added last, the last first."""
        ...

    def named(self, path: str) -> list[int]:
        """The ids of the pictures of this path, which several roots may have, ascending."""
        ...

    def repeated(self, paths: Sequence[str]) -> set[str]:
        """Those of the paths that several roots have."""
        ...

    def picture(self, id: int) -> Any: ...
    def pictures(self, ids: Sequence[int]) -> list[Any]: ...

    def vectors_of(self, ids: Sequence[int]) -> Any:
        """(n, D) fp32 of numpy, in this order. ValueError if a picture is not there."""
        ...

    def path_of(self, picture: Any) -> Path: ...
