"""The SQLite file of a library."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from ...tensor_files import UnusableFile

DATABASE = "pictures.sqlite"
PATIENCE = 30.0  # seconds to wait for another process that holds the file
MOST = 512  # variables in one statement; SQLite allows 999 or more

STATE = ("generation", "next_id", "next_part")
# part and row are where the vector is; both are NULL for a picture that has to be embedded anew
SCHEMA = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO state VALUES ('generation', 0), ('next_id', 1), ('next_part', 0);
CREATE TABLE IF NOT EXISTS roots (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS parts (number INTEGER PRIMARY KEY, rows INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pictures (
    id INTEGER PRIMARY KEY, root INTEGER NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, hash64 INTEGER, kind TEXT NOT NULL,
    rating INTEGER NOT NULL, part INTEGER, row INTEGER, UNIQUE (path, root)
);
CREATE INDEX IF NOT EXISTS places ON pictures (part, row);
CREATE TABLE IF NOT EXISTS details (id INTEGER PRIMARY KEY, text TEXT NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS errors (
    root INTEGER NOT NULL, path TEXT NOT NULL, reason TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    PRIMARY KEY (path, root)
) WITHOUT ROWID;
"""


def connect_to_write(folder: Path) -> sqlite3.Connection:
    connection = _connect(folder / DATABASE, "mode=rwc")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # parts are deleted after rows say that they are not needed
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """Open for reading, also in a folder that may not be written to. The snapshot lasts until the connection is closed.

    Raises:
        sqlite3.Error: it is absent or damaged.
    """
    path = folder / DATABASE
    try:
        return _snapshot(_connect(path, "mode=ro"))
    except sqlite3.OperationalError:  # SQLite wants to write files beside it, even to read
        if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal"):
            return _copied(path)
        return _snapshot(_connect(path, "mode=ro&immutable=1"))


def _connect(path: Path, how: str) -> sqlite3.Connection:
    name = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(name, PATIENCE, uri=True, isolation_level=None, check_same_thread=False)


def _snapshot(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT value FROM state").fetchall()  # a snapshot begins with the first read
    except BaseException:
        connection.close()
        raise
    return connection


def _copied(path: Path) -> sqlite3.Connection:
    """A copy in memory: what a killed writer left in the log can only be read where files may be written."""
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        for end in ("", "-wal"):
            shutil.copyfile(f"{path}{end}", os.path.join(folder, f"{DATABASE}{end}"))
        with closing(_connect(Path(folder) / DATABASE, "mode=rw")) as copy:
            copy.backup(memory)
    return _snapshot(memory)


def close(connection: sqlite3.Connection) -> None:
    """Close after writing: the log goes into the file itself, so that the folder can be copied or made read-only.

    While somebody reads an older state this is left to the next writer, for a reader may stay for hours.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def state(connection: sqlite3.Connection) -> dict[str, int]:
    """Raises UnusableFile if it is damaged."""
    found = dict(connection.execute("SELECT name, value FROM state").fetchall())
    if not all(isinstance(found.get(name), int) for name in STATE):
        raise UnusableFile(f"{DATABASE} does not hold the state of a library")
    return found


def roots(connection: sqlite3.Connection) -> dict[int, Path]:
    """{number: the folder that paths are below}. Raises UnusableFile if it is damaged."""
    found = dict(connection.execute("SELECT id, path FROM roots ORDER BY id").fetchall())
    if not all(isinstance(path, str) and path and "\0" not in path for path in found.values()):
        raise UnusableFile(f"{DATABASE} does not say which folders the roots are")
    return {number: Path(path) for number, path in found.items()}


def chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    """The values in lists that fit into one statement each."""
    listed = list(values)
    return (listed[start : start + MOST] for start in range(0, len(listed), MOST))


def marks(count: int) -> str:
    return ",".join("?" * count)
