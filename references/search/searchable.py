"""What everything that can be searched has in common: libraries of this machine, and those of a team."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ..embedding import Embedding
from ..space import Space
from .hits import Hit


class Searchable(Protocol):
    """generation: grows with each write, so that what was found before is not taken for new"""

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
        """The k nearest pictures of each vector of the query.

        minimum: the lowest score that counts
        folder, rating, text: of which pictures; `Library.where` says how
        exact: whether an index that may miss some must not be used

        Raises:
            ValueError: another space, a query without a direction, k below 1, or a minimum that is no number.
        """
        ...

    def picture(self, id: int) -> Any: ...
    def path_of(self, picture: Any) -> Path: ...
