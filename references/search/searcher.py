"""Search the pictures of a library by a text or a picture: exact, and nothing has to be built first."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from ..embedding import Embedding
from ..rows import TOLERANCE, rows_of
from ..similarity import OTHER
from ..space import Space
from .hits import Hit
from .scores import Damaged, best_rows


class Rows(Protocol):
    """What a search reads of a library: the pictures' numbers, ascending, and their vectors (N, D) fp16 of length 1."""

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> Space: ...
    def ids(self) -> Any: ...
    def vectors(self) -> Any: ...


class Searcher:
    """A snapshot of a library, for many searches. It takes no memory where the library's vectors are one array."""

    def __init__(self, library: Rows):
        self.name, self.space = library.name, library.space
        self._ids = library.ids()
        self._rows = rows_of(library.vectors())

    def search(
        self, query: Embedding, k: int = 10, *, minimum: float | None = None, mask: Any = None
    ) -> list[list[Hit]]:
        """The k nearest pictures of each vector of the query, nearest first; of equally near ones, the lower id.

        minimum: the lowest score that counts
        mask: (N,) of bool, which pictures count; `Library.where` makes it

        Raises:
            ValueError: another space, a query without a direction, k below 1, a minimum that is no number, a mask of
                another length, or the library is damaged.
        """
        self._check(query, k, minimum)
        chosen = None if mask is None else self._mask(mask)
        if not len(self._ids):
            return [[] for _ in range(len(query))]
        lowest = -math.inf if minimum is None else minimum
        try:
            found = list(best_rows(self._rows, query.vectors, k, lowest, chosen))
        except Damaged as error:
            raise ValueError(
                f'The library "{self.name}" is damaged: it holds {error}. Find it with `library check {self.name}`.'
            ) from error
        return [self._hits(numbers, scores) for numbers, scores in found]

    def _hits(self, numbers: Tensor, scores: Tensor) -> list[Hit]:
        pairs = zip(self._ids[numbers.numpy()], scores.clamp(-1, 1), strict=True)
        return [Hit(int(id), float(score), rank) for rank, (id, score) in enumerate(pairs, 1)]

    def _check(self, query: Embedding, k: int, minimum: float | None) -> None:
        check_query(query, self.name, self.space)
        if k < 1:
            raise ValueError(f"{k} nearest pictures cannot be found: ask for 1 or more.")
        if minimum is not None and not math.isfinite(minimum):
            raise ValueError(f"The lowest score that counts is a number from -1 to 1, not {minimum}.")

    def _mask(self, mask: Any) -> Tensor:
        chosen: Tensor = torch.as_tensor(mask)
        if chosen.dtype is not torch.bool or tuple(chosen.shape) != (len(self._ids),):
            raise ValueError(
                f'A mask of the library "{self.name}" says of each of its {len(self._ids)} pictures whether it counts, '
                f"and so is bool of the shape ({len(self._ids)},), not {chosen.dtype} of {tuple(chosen.shape)}."
            )
        return chosen


def search(
    library: Rows,
    query: Embedding,
    k: int = 10,
    *,
    minimum: float | None = None,
    mask: Any = None,
    exact: bool = True,
) -> list[list[Hit]]:
    """`Searcher.search`, once. exact: no other search is made here; libraries with an index of their own have both."""
    return Searcher(library).search(query, k, minimum=minimum, mask=mask)


def check_query(query: Embedding, name: str, space: Space) -> None:
    """Refuse what cannot be searched for in a library of this name and space.

    Raises:
        ValueError: another space, or a vector that is zero or holds no finite numbers.
    """
    if not space.is_same(query.space):
        other = "another file of it" if space.title == query.space.title else query.space.title
        raise ValueError(
            f'The library "{name}" was made with {space.title}, {OTHER[query.of]} was encoded by {other}: their '
            "numbers do not compare. Choose the encoder of the library, or embed its pictures anew."
        )
    lengths = query.vectors.square().sum(dim=1).sqrt()
    wrong = ((lengths - 1).abs() <= TOLERANCE).logical_not()  # also of NaN
    if bool(wrong.any()):
        raise ValueError(
            f"The vector of {query.of} {int(wrong.int().argmax()) + 1} of {len(query)} is not of length 1: it is zero, "
            "was not normalised, or holds no finite numbers. `Embedding.of_vectors` makes it."
        )
