"""The open graph as the browser describes it: its nodes, what is chosen in them, and the links that its files carry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ...service.http.given import check_fields, described, fields
from ...tensor_files import printable

GRAPH = ("nodes", "models")  # fields of what the browser sends, of each of its nodes, and of each of its models
NODE = ("id", "type", "values", "before")
MODEL = ("name", "directory", "url")
MOST_NODES = 20_000
MOST_MODELS = 200
LONGEST = 500  # characters of a text; the browser sends no longer ones, as these name no file


@dataclass(frozen=True)
class GraphNode:
    """values: the texts in its inputs, by name. before: ids of the nodes that are linked into it"""

    id: str
    type: str
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    before: Sequence[str] = ()


@dataclass(frozen=True)
class PublishedModel:
    """A file that a workflow says it needs, as core's own panel reads it in `node.properties.models`."""

    name: str
    folder: str
    link: str


@dataclass(frozen=True)
class Graph:
    nodes: Mapping[str, GraphNode]
    models: Sequence[PublishedModel] = ()

    @classmethod
    def of(cls, given: object) -> "Graph":
        """The graph in {"nodes": [{"id", "type", "values", "before"}], "models": [{"name", "directory", "url"}]}.

        Raises:
            ValueError: it is none, or too large.
        """
        table = fields(given, GRAPH)
        nodes = (_node(each) for each in _objects(table, "nodes", MOST_NODES))
        models = [_model(each) for each in _objects(table, "models", MOST_MODELS)]
        return cls({node.id: node for node in nodes}, models)

    def upstream(self, node: GraphNode) -> Iterator[GraphNode]:
        """The nodes before a node, the nearest first."""
        seen, waiting = {node.id}, list(node.before)
        for number in waiting:
            if number not in seen and number in self.nodes:
                seen.add(number)
                waiting += self.nodes[number].before
                yield self.nodes[number]


def _objects(table: Mapping[str, Any], key: str, most: int) -> list[dict[str, Any]]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in cast("list[Any]", found)):
        raise ValueError(f"{key!r} of a graph is a list of JSON objects.")
    listed = cast("list[dict[str, Any]]", found)
    if len(listed) > most:
        raise ValueError(f"{key!r} of a graph are {most:,} at most, and these are {len(listed):,}.")
    return listed


def _node(given: Mapping[str, Any]) -> GraphNode:
    check_fields(given, NODE)
    values, before = given.get("values", {}), given.get("before", [])
    if not isinstance(values, dict) or not isinstance(before, list):
        raise ValueError("A node of a graph has its 'values' by name, and a list 'before' of the ids before it.")
    texts = cast("dict[str, Any]", values)
    return GraphNode(
        _text(given, "id"),
        _text(given, "type"),
        {name: _checked(value, f"The value {printable(name, 100)!r}") for name, value in texts.items()},
        [_checked(each, "An id in 'before'") for each in cast("list[Any]", before)],
    )


def _model(given: Mapping[str, Any]) -> PublishedModel:
    check_fields(given, MODEL)
    link = _text(given, "url")
    return PublishedModel(_text(given, "name"), _text(given, "directory"), link if link.startswith("https://") else "")


def _text(given: Mapping[str, Any], key: str) -> str:
    """A text of an object; an empty one where there is none."""
    value = given.get(key)
    return "" if value is None else _checked(value, repr(key))


def _checked(value: object, what: str) -> str:
    """A text, or a number as ids are; ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"{what} of a node or model of a graph is {described(value)}: give a text.")
    if len(value) > LONGEST:
        raise ValueError(f"{what} of a node or model of a graph has {len(value):,} characters: give {LONGEST} at most.")
    return value
