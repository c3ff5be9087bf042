"""Prompts of the API: read the graph, and write the changed nodes while all others keep their very text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .graph import Graph, Node, Source
from .ids import free_numbers
from .json_values import entries, members
from .old_nodes import OLD_NODES, old_node
from .our_nodes import OUR_NODES
from .plan import Placed, Plan
from .rules import Ours

SPACE = " \t\r\n"


def is_prompt(data: object) -> bool:
    """Whether this is a prompt: {id: {"class_type": ..., "inputs": {...}}}."""
    return bool(members(data)) and all(_is_node(each) for each in members(data).values())


def _is_node(each: object) -> bool:
    return isinstance(members(each).get("class_type"), str) and isinstance(members(each).get("inputs"), dict)


def read(data: Mapping[str, Any]) -> Graph:
    return Graph({id: _node(id, each) for id, each in data.items()})


def _node(id: str, each: Mapping[str, Any]) -> Node:
    given = {name: _value(value) for name, value in each["inputs"].items() if value is not None}
    row = old_node(each["class_type"], given)
    title = _title(each)
    return Node(id, each["class_type"], row, given, title="" if row and title == OLD_NODES[row].title else title)


def _title(each: Mapping[str, Any]) -> str:
    title = members(each.get("_meta")).get("title")
    return title if isinstance(title, str) else ""


def _value(value: Any) -> Any:
    """A link is a list of an id and a slot; a list in a list stands for a list."""
    match entries(value):
        case [str() as id, int() as slot]:
            return Source(id, slot)
        case _:
            return value


def write(text: str, data: Mapping[str, Any], graph: Graph, plan: Plan) -> str:
    """The prompt with what was planned. Nodes that are not concerned keep their text, and all keep their order."""
    numbers = free_numbers(data)
    ids = {key: placed.near if placed.instead else str(next(numbers)) for key, placed in plan.new.items()}
    indent = 2 if "\n" in text else None
    has_titles = any("_meta" in each for each in data.values())

    def entry(key: str, placed: Placed) -> str:
        made = _written(placed, graph.nodes[placed.near], ids, has_titles)
        body = json.dumps(made, indent=indent, ensure_ascii=False)
        return f"{json.dumps(ids[key])}: {body}".replace("\n", "\n  ")

    written = list[str]()
    beside = {key: placed for key, placed in plan.new.items() if not placed.instead}
    for id, raw in _raw_entries(text):
        placed = plan.new.get(id)
        if placed and placed.instead:
            written.append(entry(id, placed))
        elif id not in plan.removed:
            written.append(raw)
        written += [entry(key, each) for key, each in beside.items() if each.near == id]
    return "{\n  " + ",\n  ".join(written) + "\n}\n" if indent else "{" + ", ".join(written) + "}"


def _written(placed: Placed, old: Node, ids: Mapping[str, str], has_titles: bool) -> dict[str, Any]:
    kind = OUR_NODES[placed.node.type]
    defaults = {name: default for name, (_, default) in kind.widgets.items()}
    given = {name: _link(value, ids) for name, value in placed.node.inputs.items()}
    title = old.title if placed.instead and old.title else kind.title
    meta = {"_meta": {"title": title}} if has_titles else {}
    return {"class_type": placed.node.type, "inputs": defaults | given, **meta}


def _link(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, Source):
        return [value.node, value.slot]
    return [ids[value.key], value.slot] if isinstance(value, Ours) else value


def _raw_entries(text: str) -> Iterator[tuple[str, str]]:
    """The keys of a JSON object, each with its text: the key and the value, as they are in the file."""
    decoder = json.JSONDecoder()
    place = _skip(text, text.index("{") + 1)
    while text[place] != "}":
        key, after = decoder.raw_decode(text, place)
        value = _skip(text, _skip(text, after) + 1)  # behind the colon
        _, end = decoder.raw_decode(text, value)
        yield key, text[place:end]
        place = _skip(text, end)
        place = _skip(text, place + 1) if text[place] == "," else place


def _skip(text: str, place: int) -> int:
    while text[place] in SPACE:
        place += 1
    return place
