"""Look whether what is known of pictures can be read, and mend it: no picture, vector or rating is lost by that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .picture import check_below, packed
from .rows import Rows
from .value_checks import mend_values, unknown_root, wrong_values

TABLES = ("roots", "details", "errors")  # the next writer makes them anew, empty
ROOTLESS = "SELECT root, COUNT(*) FROM pictures WHERE root NOT IN (SELECT id FROM roots) GROUP BY root ORDER BY root"
ERRORS = "SELECT DISTINCT root FROM errors WHERE root NOT IN (SELECT id FROM roots) ORDER BY root"
BARE = "FROM pictures WHERE id NOT IN (SELECT id FROM details)"
STRANGE = "metadata that could not be read"  # under which such a text is kept
OUTSIDE = "damaged path"  # a folder below the root, where no file is


def wrong_rows(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong, in words."""
    present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    yield from (f"the table {name} is missing" for name in TABLES if name not in present)
    if "details" in present:
        [(bare,)] = connection.execute(f"SELECT COUNT(*) {BARE}")
        yield from _said(bare, "without a row of text and metadata")
        yield from _said(len(list(_strange(connection))), "with metadata that are no JSON")
    if "roots" in present:
        for root, count in connection.execute(ROOTLESS).fetchall():
            yield from _said(count, f"below the root {root}, of which nothing is known")
        if "errors" in present:
            for (root,) in connection.execute(ERRORS).fetchall():
                yield f"errors below the root {root}, of which nothing is known"
    yield from _said(len(list(_outside(connection))), "of which the path is none below a root")
    yield from wrong_values(connection, present)


def mend_rows(rows: Rows, folder: Path) -> None:
    """Mend all that `wrong_rows` finds, inside a transaction.

    A root of which nothing is known becomes an empty folder of the library, and a path that leaves its root one where
    no file is: such pictures are as those that were moved, and `embed` finds them by their content where they are now.
    """
    changes = mend_values(rows, folder)
    changes += rows.do(f"INSERT INTO details SELECT id, '', '{{}}' {BARE}")
    for id, text in list(_strange(rows.connection)):
        changes += rows.do("UPDATE details SET metadata = ? WHERE id = ?", (packed({STRANGE: text}), id))
    for root in {row[0] for row in (*rows.ask(ROOTLESS), *rows.ask(ERRORS))}:
        changes += rows.do("INSERT INTO roots (id, path) VALUES (?, ?)", (root, unknown_root(folder, root)))
    for id, path in list(_outside(rows.connection)):
        names = [name for name in path.split("/") if name not in ("", ".", "..")]
        inside = "/".join([OUTSIDE, str(id), *names])
        changes += rows.do("UPDATE pictures SET path = ? WHERE id = ?", (inside, id))
    if changes:
        rows.changed()


def _said(count: int, what: str) -> Iterator[str]:
    if count:
        yield f"{count:,} picture{'' if count == 1 else 's'} {what}"


def _strange(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """(id, text) of metadata that are no JSON object."""
    for id, text in connection.execute("SELECT id, metadata FROM details ORDER BY id"):
        if not _is_table(text):
            yield id, text if isinstance(text, str) else repr(text)


def _is_table(text: Any) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _outside(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """(id, path) of paths that leave their root, or are not spelled as a library does."""
    for id, path in connection.execute("SELECT id, path FROM pictures ORDER BY id"):
        try:
            check_below(path)
        except (ValueError, TypeError):
            yield id, str(path)
