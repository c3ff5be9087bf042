"""Look whether the values of a database are of the types that a library writes, and put others in their place."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from .rows import Rows

# Instead of a value of another type: nothing is known of it, so that the next `embed` reads the file again
STANDS_IN: dict[str, int | str | None] = {
    "root": 0,
    "size": 0,
    "mtime_ns": 0,
    "sha256": "",
    "width": 0,
    "height": 0,
    "hash64": None,
    "kind": "image",
    "rating": 0,
}
TYPES = {
    name: ("integer", "null") if value is None else ("integer",) if isinstance(value, int) else ("text",)
    for name, value in STANDS_IN.items()
}  # as SQLite names them
STRANGE_ROOTS = "FROM roots WHERE typeof(path) <> 'text' OR path = '' OR instr(path, char(0))"
STRANGE_TEXTS = "details WHERE typeof(text) <> 'text'"
STRANGE_ERRORS = "FROM errors WHERE typeof(path) <> 'text' OR typeof(reason) <> 'text' OR " + " OR ".join(
    f"typeof({name}) <> 'integer'" for name in ("root", "size", "mtime_ns")
)


def wrong_values(connection: sqlite3.Connection, present: Collection[str]) -> Iterator[str]:
    """What is wrong, in words. present: names of the tables that there are"""
    sums = ", ".join(f"SUM({_strange(name)})" for name in STANDS_IN)
    [counts] = connection.execute(f"SELECT {sums} FROM pictures")
    yield from (_of(count, f"the {name}", "pictures") for name, count in zip(STANDS_IN, counts, strict=True) if count)
    for table, what, query in (
        ("details", "the text", f"SELECT COUNT(*) FROM {STRANGE_TEXTS}"),
        ("roots", "the folder", f"SELECT COUNT(*) {STRANGE_ROOTS}"),
        ("errors", "what is said", f"SELECT COUNT(*) {STRANGE_ERRORS}"),
    ):
        [(count,)] = connection.execute(query) if table in present else [(0,)]
        if count:
            yield _of(count, what, table)


def mend_values(rows: Rows, folder: Path) -> int:
    """Mend all that `wrong_values` finds, inside a transaction: how many rows were changed."""
    changes = 0
    for name, value in STANDS_IN.items():
        changes += rows.do(f"UPDATE OR IGNORE pictures SET {name} = ? WHERE {_strange(name)}", [value])
    for (root,) in rows.ask(f"SELECT id {STRANGE_ROOTS}"):
        changes += rows.do("UPDATE roots SET path = ? WHERE id = ?", (unknown_root(folder, root), root))
    changes += rows.do(f"DELETE {STRANGE_ERRORS}")
    return changes + rows.do(f"UPDATE {STRANGE_TEXTS.replace(' WHERE', ' SET text = ? WHERE')}", [""])


def unknown_root(folder: Path, number: int) -> str:
    """An empty folder of the library instead of a root of which nothing is known."""
    place = folder.absolute() / f"unknown root {number}"
    place.mkdir(exist_ok=True)
    return str(place)


def _strange(name: str) -> str:
    return f"typeof({name}) NOT IN ({', '.join(map(repr, TYPES[name]))})"


def _of(count: int, what: str, table: str) -> str:
    return f"{what} of {count:,} row{'' if count == 1 else 's'} of the table {table} cannot be read"
