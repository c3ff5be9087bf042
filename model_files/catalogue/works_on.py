"""Say on which base models an adapter works besides the one that it was made for."""

from __future__ import annotations

from functools import cache

from ...ip_adapter import FAMILIES
from .old_family_words import ids_of


def works_on(family: str, made_for: str, base_model: str) -> bool:
    """Whether an adapter works on a base model.

    family: the id of its family, or a word for it
    made_for: the base model of its file
    """
    return base_model == made_for or base_model in _others(family)


@cache
def _others(family: str) -> frozenset[str]:
    return frozenset(name for each in FAMILIES if each.id in ids_of(family) for name in each.also_for)
