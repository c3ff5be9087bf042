"""What a search finds. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hit:
    """A picture of a library.

    id: its number in the library
    score: its cosine with the query, -1..1
    rank: 1 is the nearest
    """

    id: int
    score: float
    rank: int
