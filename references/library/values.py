"""Values of a database as fields of pictures: SQLite keeps any value in any column, also of a damaged file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...tensor_files import UnusableFile
from .database import DATABASE
from .picture import Failure, Picture, unsigned

READ: dict[str, Callable[[Any], Any]] = {"hash64": unsigned, "metadata": json.loads}
TEXTS = ("path", "sha256", "kind", "text", "reason")
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "root", "size", "mtime_ns", "width", "height", "rating"), (int,)),
    **dict.fromkeys(TEXTS, (str,)),
    "hash64": (int, type(None)),
    "metadata": (dict,),
}
UNREADABLE = (TypeError, ValueError, RecursionError)


def picture_of(columns: Sequence[str], row: Sequence[Any]) -> Picture:
    """Raises UnusableFile if it holds what no library writes."""
    return Picture(**{name: _value(name, value) for name, value in zip(columns, row, strict=True)})


def failure_of(row: Sequence[Any]) -> Failure:
    """Raises UnusableFile as `picture_of`. row: the fields in their order"""
    names = ("root", "path", "reason", "size", "mtime_ns")
    return Failure(**{name: _value(name, value) for name, value in zip(names, row, strict=True)})


def column_of(name: str, known: Mapping[int, Any], ids: Iterable[int]) -> list[Any]:
    """One field of all pictures. Raises UnusableFile as `picture_of`."""
    read = READ.get(name)
    try:
        found = [read(known[each]) if read else known[each] for each in ids]
    except (KeyError, *UNREADABLE) as error:
        raise _damaged(name) from error
    if not set(map(type, found)) <= set(TYPES[name]):
        raise _damaged(name)
    return found


def _value(name: str, value: Any) -> Any:
    try:
        found = READ[name](value) if name in READ else value
    except UNREADABLE as error:
        raise _damaged(name) from error
    if not isinstance(found, TYPES[name]):
        raise _damaged(name)
    return found


def _damaged(name: str) -> UnusableFile:
    return UnusableFile(f"in {DATABASE} the {name} of a picture cannot be read")
