"""The nodes of an API prompt and the links between them, whatever a strange picture makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

NODES = 10_000  # more than any prompt has
STEPS = 500_000  # a second; the largest prompts take a tenth of it
HOPS = 20  # from a widget to the node that says its value
VALUES = ("value", "int", "float", "number", "seed", "noise_seed", "string", "text")  # of nodes that hold one value

Link = tuple[str, int]  # the id of a node, and the number of its output


@dataclass(frozen=True)
class Node:
    """inputs: what is typed in; links: what comes from other nodes."""

    id: str
    type: str
    inputs: dict[str, Any] = field(compare=False)
    links: dict[str, Link] = field(compare=False)


@dataclass
class Prompt:
    """used: ids of nodes whose outputs others take; steps: how many inputs were followed"""

    nodes: dict[str, Node]
    used: frozenset[str]
    steps: int = 0

    @classmethod
    def of(cls, data: Any) -> Prompt:
        """The nodes of parsed JSON; what is no node is left out."""
        given = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        rows = [(name, cast("dict[str, Any]", row)) for name, row in given.items() if isinstance(row, dict)][:NODES]
        nodes = {name: _node(name, row) for name, row in rows if isinstance(row.get("class_type"), str)}
        used = frozenset(link[0] for node in nodes.values() for link in node.links.values())
        return cls(nodes, used)

    def before(self, node: Node, names: Sequence[str]) -> list[Node]:
        """The nodes that these inputs come from, in the order of the names. ValueError if it takes too long."""
        self.steps += 1 + len(names)
        if self.steps > STEPS:
            raise ValueError("A prompt of so many links is made to be slow.")
        found = (self.nodes.get(node.links[name][0]) for name in names if name in node.links)
        return [each for each in found if each]

    def upstream(
        self,
        begin: Sequence[Node],
        names: Sequence[str] | None = None,
        prefixes: tuple[str, ...] = (),
        ends: Callable[[Node], bool] = lambda node: False,
    ) -> list[Node]:
        """All nodes that lead to these, and these themselves, nearest first; through all inputs, or those with names
        or prefixes. What leads to a node of which `ends` is true is not followed.
        """
        found, seen = list(begin), {node.id for node in begin}
        for node in found:  # it grows
            if ends(node):
                continue
            taken = [
                name for name in node.links if names is None or name in names or name.startswith(prefixes or ("\0",))
            ]
            for each in self.before(node, taken):
                if each.id not in seen:
                    seen.add(each.id)
                    found.append(each)
        return found

    def value(self, node: Node, name: str, further: Sequence[str] = VALUES) -> Any:
        """What an input holds, also where it is linked to a node that holds it under its name or a usual one.

        Several texts of one node before it are joined.
        """
        for _ in range(HOPS):
            if name in node.inputs:
                return node.inputs[name]
            before = self.before(node, [name])
            if not before:
                return None
            node = before[0]
            held = [each for each in (name, *further) if each in node.inputs or each in node.links]
            texts = [self._typed(node, each) for each in dict.fromkeys(held)]
            pieces = [text for text in texts if isinstance(text, str)]
            if len(pieces) > 1:
                return str(node.inputs.get("delimiter", " ")).join(pieces)
            name = held[0] if held else next(iter(node.links), "")
        return None

    def _typed(self, node: Node, name: str) -> Any:
        """What is typed into an input, or into the node that it is linked to."""
        if name in node.inputs:
            return node.inputs[name]
        held = [each.inputs[key] for each in self.before(node, [name]) for key in VALUES if key in each.inputs]
        return held[0] if held else None


def _node(name: str, row: dict[str, Any]) -> Node:
    given = row.get("inputs")
    inputs = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    links = {
        key: (str(cast("list[Any]", value)[0]), _output(value)) for key, value in inputs.items() if _is_link(value)
    }
    return Node(name, row["class_type"], {key: value for key, value in inputs.items() if key not in links}, links)


def _is_link(value: Any) -> bool:
    if not isinstance(value, list) or len(cast("list[Any]", value)) != 2:
        return False
    return isinstance(value[0], (str, int)) and isinstance(value[1], int)


def _output(value: Any) -> int:
    return value[1]
