"""Which names of ComfyUI the pack takes, and which of them a ComfyUI lacks, by reading both. Standard library only."""

from collections.abc import Sequence

from .tree import Tree
from .uses import Use, taken, uses_of

__all__ = ["Tree", "Use", "missing", "taken", "uses_of"]


def missing(uses: Sequence[Use], tree: Tree) -> list[str]:
    """A line for each name that the pack needs and the tree lacks, with the places that take it."""
    places: dict[str, list[str]] = {}
    for use in uses:
        if not (use.optional or tree.has(use.name)):
            places.setdefault(use.name, []).append(use.place)
    return [f"{name}, taken by {', '.join(places[name])}" for name in sorted(places)]
