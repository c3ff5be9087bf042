"""A graph of nodes, whatever the format of the file: who reads what, through reroutes too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from .old_nodes import OLD_NODES

REROUTE = "Reroute"
PRIMITIVE = "Primitive"  # how the types of nodes begin that hold one value
Mode = Literal["active", "muted", "bypassed"]


class Stays(Exception):
    """Why a node is not rewritten, as a sentence."""


@dataclass(frozen=True)
class Source:
    """An output of a node that is in the file; also an input of the subgraph in which the node is."""

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    """One node of a file.

    id: unique in its graph
    row: its row of `OLD_NODES`; "" if it is of another pack
    inputs: {name: what it is given}, a `Source` or a plain value; without those that are left free
    title: what people called it; "" if it has the name of its kind
    shown: names of widgets that the node of its subgraph shows
    """

    id: str
    type: str
    row: str
    inputs: Mapping[str, Any]
    mode: Mode = "active"
    title: str = ""
    shown: frozenset[str] = frozenset()

    def get(self, name: str) -> Any:
        """What an input is given: a `Source`, a plain value or its default; None if it has no such input."""
        return self.inputs.get(name, OLD_NODES[self.row].widgets.get(name))

    def sources(self) -> Iterator[Source]:
        return (each for each in self.inputs.values() if isinstance(each, Source))


@dataclass(frozen=True)
class Graph:
    """The nodes of a prompt, or of a workflow or one of its subgraphs."""

    nodes: Mapping[str, Node] = field(default_factory=dict[str, Node])

    def origin(self, source: Source) -> tuple[Node | None, int]:
        """The node and slot from which a link comes, through reroutes; no node outside of a subgraph."""
        seen = set[str]()
        while (node := self.nodes.get(source.node)) and node.type == REROUTE and node.id not in seen:
            seen.add(node.id)
            further = next(node.sources(), None)
            if further is None:
                return None, 0
            source = further
        return node, source.slot

    def readers(self, id: str, slot: int | None = None) -> list[Node]:
        """The nodes that read an output of a node, or any of them, through reroutes; reroutes are no readers."""
        return [reader for at, reader in self._readers.get(id, ()) if slot in (None, at)]

    @cached_property
    def _readers(self) -> Mapping[str, list[tuple[int, Node]]]:
        found = dict[str, list[tuple[int, Node]]]()
        for node in self.nodes.values():
            for source in () if node.type == REROUTE else node.sources():
                origin, slot = self.origin(source)
                if origin:
                    found.setdefault(origin.id, []).append((slot, node))
        return found
