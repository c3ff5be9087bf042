"""What a library knows of its pictures, in the tables of its database. Nothing here begins or ends a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .database import marks, roots, state
from .picture import Failure, NewPicture, as_text, packed, signed

FIELDS = "id, root, path, size, mtime_ns, sha256, width, height, hash64, kind, rating, part, row"
HERE = "path = ? AND root = ?"  # in this order the index is of use

Key = tuple[int, str]  # the number of a root, and a path below it
Place = tuple[int, int]  # a part, and a row of it


class Rows:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def ask(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        return self.connection.execute(query, list(values)).fetchall()

    def do(self, query: str, values: Iterable[Any] = ()) -> int:
        """How many rows were changed."""
        return self.connection.execute(query, list(values)).rowcount

    # --------------------------------------------------------------------------------------------------------- state

    def state(self, name: str) -> int:
        return state(self.connection)[name]

    def set(self, name: str, value: int) -> None:
        self.do("UPDATE state SET value = ? WHERE name = ?", (value, name))

    def changed(self, times: int = 1) -> None:
        """Count changes, not transactions, so that the number does not depend on how many changes one has."""
        self.do("UPDATE state SET value = value + ? WHERE name = 'generation'", (times,))

    # --------------------------------------------------------------------------------------------------------- roots

    def roots(self) -> dict[int, Path]:
        return roots(self.connection)

    def root(self, folder: Path) -> int:
        """The number of a root, which is added if it is new."""
        if found := self.ask("SELECT id FROM roots WHERE path = ?", [str(folder)]):
            return found[0][0]
        return self.connection.execute("INSERT INTO roots (path) VALUES (?)", (str(folder),)).lastrowid or 0

    # ------------------------------------------------------------------------------------------------------ pictures

    def ids_for(self, keys: Iterable[tuple[int | None, str]]) -> list[int]:
        """The ids that the library has for pictures of these paths, or new ones."""
        following, ids = self.state("next_id"), list[int]()
        for root, path in keys:
            found = self.ask(f"SELECT id FROM pictures WHERE {HERE}", (path, root))
            ids.append(found[0][0] if found else following)
            following += not found
        self.set("next_id", following)
        return ids

    def put(self, id: int, root: int, picture: NewPicture, place: Place) -> None:
        """Add or replace a picture. The rating of one that shows the same stays."""
        rating, hash64 = int(picture.rating), signed(picture.hash64)
        old = self.ask("SELECT sha256, hash64, rating FROM pictures WHERE id = ?", [id])
        if old and not rating and (old[0][0] == picture.sha256 or old[0][1] is not None and old[0][1] == hash64):
            rating = old[0][2]
        size, mtime_ns = int(picture.size), int(picture.mtime_ns)  # of numpy's numbers SQLite would keep the bytes
        values = (
            *(id, root, picture.path, size, mtime_ns, picture.sha256, int(picture.width), int(picture.height)),
            *(hash64, picture.kind, rating, *place),
        )
        self.do(f"INSERT OR REPLACE INTO pictures ({FIELDS}) VALUES ({marks(len(values))})", values)
        self.put_details(id, picture.text, picture.metadata)
        self.do(f"DELETE FROM errors WHERE {HERE}", (picture.path, root))

    def put_details(self, id: int, text: str, metadata: Mapping[str, Any]) -> None:
        self.do("INSERT OR REPLACE INTO details VALUES (?, ?, ?)", (id, as_text(text), packed(metadata)))

    def remove(self, key: Key) -> int:
        """Forget a picture and the error of a path; how many rows that were."""
        here = (key[1], key[0])
        self.do(f"DELETE FROM details WHERE id IN (SELECT id FROM pictures WHERE {HERE})", here)
        return sum(self.do(f"DELETE FROM {table} WHERE {HERE}", here) for table in ("pictures", "errors"))

    def files(self, root: int) -> list[tuple[str, int, int]]:
        """(path, size, mtime_ns) of all pictures below a root that have a vector."""
        return self.ask("SELECT path, size, mtime_ns FROM pictures WHERE root = ? AND part IS NOT NULL", [root])

    def waiting(self, root: int) -> list[str]:
        """The paths of the pictures below a root that have no vector."""
        return [path for (path,) in self.ask("SELECT path FROM pictures WHERE root = ? AND part IS NULL", [root])]

    def contents(self) -> list[tuple[int, str, int, str]]:
        """(root, path, size, sha256) of all pictures that have a vector, sorted."""
        return self.ask("SELECT root, path, size, sha256 FROM pictures WHERE part IS NOT NULL ORDER BY root, path")

    def sha256(self, key: Key) -> str:
        """Of a picture that has a vector; an empty text if there is none."""
        found = self.ask(f"SELECT sha256 FROM pictures WHERE {HERE} AND part IS NOT NULL", (key[1], key[0]))
        return found[0][0] if found else ""

    def move(self, old: Key, new: Key, mtime_ns: int) -> None:
        values = (*new, mtime_ns, old[1], old[0])
        self.do(f"UPDATE pictures SET root = ?, path = ?, mtime_ns = ? WHERE {HERE}", values)
        for root, path in (old, new):
            self.do(f"DELETE FROM errors WHERE {HERE}", (path, root))
        self.changed()

    def touch(self, key: Key, size: int, mtime_ns: int) -> None:
        """Keep the time of a file whose content has not changed."""
        values = (size, mtime_ns, key[1], key[0])
        self.do(f"UPDATE pictures SET size = ?, mtime_ns = ? WHERE {HERE}", values)
        self.do(f"DELETE FROM errors WHERE {HERE}", (key[1], key[0]))
        self.changed()

    def details(self) -> dict[Key, tuple[int, str, dict[str, Any]]]:
        """(id, text, metadata) of all pictures."""
        query = "SELECT root, path, pictures.id, text, metadata FROM pictures JOIN details ON details.id = pictures.id"
        return {(root, path): (id, text, json.loads(packed)) for root, path, id, text, packed in self.ask(query)}

    def lose_vectors(self, ids: Sequence[int]) -> None:
        """Keep pictures without a vector, to be embedded anew."""
        lost = [(id,) for id in ids]
        self.connection.executemany("UPDATE pictures SET part = NULL, row = NULL WHERE id = ?", lost)
        self.changed()

    # -------------------------------------------------------------------------------------------------------- errors

    def errors(self) -> list[Failure]:
        """Sorted by their paths."""
        rows = self.ask("SELECT root, path, reason, size, mtime_ns FROM errors ORDER BY path, root")
        return [Failure(*row) for row in rows]

    def fail(self, failure: Failure) -> None:
        """Keep a failure; nothing changes if it is known as it is."""
        known = self.ask(f"SELECT reason, size, mtime_ns FROM errors WHERE {HERE}", (failure.path, failure.root))
        if known != [(failure.reason, failure.size, failure.mtime_ns)]:
            values = (failure.root, failure.path, failure.reason, failure.size, failure.mtime_ns)
            self.do("INSERT OR REPLACE INTO errors VALUES (?, ?, ?, ?, ?)", values)
            self.changed()
