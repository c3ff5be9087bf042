"""The links of a workflow, which older and newer files write in two forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .json_values import entries, members

ID = int | str
FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


@dataclass
class Link:
    """A link: from an output of one node to an input of another. more: what else the file says of it"""

    id: int
    origin: ID
    origin_slot: int
    target: ID
    target_slot: int
    type: Any
    more: dict[str, Any] = field(default_factory=dict[str, Any])


def read_links(given: Iterable[Any]) -> Iterator[Link]:
    for each in given:
        if known := members(each):
            id, origin, slot, target, target_slot, type = (known[name] for name in FIELDS)
            more = {name: value for name, value in known.items() if name not in FIELDS}
            yield Link(id, origin, slot, target, target_slot, type, more)
        elif len(entries(each)) >= len(FIELDS):
            yield Link(*each[: len(FIELDS)])


def written(link: Link, as_list: bool) -> list[Any] | dict[str, Any]:
    values = [link.id, link.origin, link.origin_slot, link.target, link.target_slot, link.type]
    return values if as_list else dict(zip(FIELDS, values, strict=True)) | link.more
