"""Read a library: one state of it, whatever a writer does meanwhile. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...tensor_files import UnusableFile, printable
from ..space import Space
from .about import About, read_about, shown
from .database import DATABASE, chunks, connect_to_read, marks, roots, state
from .parts import ROWS, Ids, Part, Vectors, pairs, part_path, read_part
from .picture import Failure, Picture, as_text, check_below
from .values import column_of, failure_of, picture_of

TRIES = 20  # a compaction may take away a part between its row and its file, but not that often
FIELDS = "pictures.id, root, path, size, mtime_ns, sha256, width, height, hash64, kind, text, metadata, rating"
COLUMNS = FIELDS.replace("pictures.", "").split(", ")
DETAILS = ("text", "metadata")  # in a table of their own, because they may be long
MOST_PARTS = 1 << 24  # that a damaged number of a part makes nobody reserve more memory for
Places = npt.NDArray[np.int64]  # (n, 2), part and row of each picture


class Library:
    """One state of a library. Closing it, or losing it, ends the snapshot; it may be used by several threads.

    name: of its folder
    encoder_sha256, encoder_path: as `About` has them
    generation: grows with each change
    count: pictures with a vector
    roots: {number: the folder that paths are below}
    """

    def __init__(self, folder: Path, about: About, connection: sqlite3.Connection) -> None:
        self.folder, self.name = folder, shown(folder)
        self.space: Space = about.space
        self.encoder_sha256, self.encoder_path = about.encoder_sha256, about.encoder_path
        self._connection, self._lock = connection, threading.RLock()
        connection.create_function("has", 2, _has)
        self.generation = state(connection)["generation"]
        self.roots = roots(connection)
        self._ids, self._places = _live(connection)
        self.count = len(self._ids)
        self._parts = self._open_parts()
        self._vectors: Vectors | None = None
        # with its statements a connection is a cycle: without this its files stay open until garbage is collected
        weakref.finalize(self, connection.close).atexit = False

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Library:
        """Open a library as it is now, on any medium, even while it is written.

        Raises:
            FileNotFoundError: there is no library.
            ValueError: it is damaged, of a newer version, or of another kind.
        """
        folder = Path(folder)
        about, missing = read_about(folder), OSError()
        for _ in range(TRIES):
            with _explained(folder):
                connection = connect_to_read(folder)
            try:
                with _explained(folder):
                    return cls(folder, about, connection)
            except FileNotFoundError as error:
                missing = error
                connection.close()
            except BaseException:
                connection.close()
                raise
        raise _broken(folder, f"{Path(missing.filename or '').name} is missing") from missing

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def __len__(self) -> int:
        return self.count

    def ids(self) -> Ids:
        """Of the pictures with a vector, (n,), ascending."""
        return self._ids

    def vectors(self) -> Vectors:
        """Of length 1, (n, D), in the order of `ids`. Read when first asked for, and kept."""
        with self._lock:
            if self._vectors is None:
                self._vectors = self._gathered(np.arange(self.count))
            return self._vectors

    def vectors_of(self, ids: Iterable[int]) -> Vectors:
        """Of these pictures, read from the parts alone. KeyError if there is no such picture."""
        return self._gathered(self._positions(ids))

    def picture(self, id: int) -> Picture:
        """KeyError if there is no such picture."""
        return self.pictures([id])[0]

    def pictures(self, ids: Iterable[int]) -> list[Picture]:
        """In the order of the ids. KeyError if there is no such picture."""
        wanted = [int(each) for each in ids]
        found: dict[int, Picture] = {}
        for some in chunks(dict.fromkeys(wanted)):
            rows = self._rows(
                f"SELECT {FIELDS} FROM pictures JOIN details ON details.id = pictures.id "
                f"WHERE pictures.id IN ({marks(len(some))})",
                some,
            )
            with _explained(self.folder):
                found |= {row[0]: picture_of(COLUMNS, row) for row in rows}
        if missing := [each for each in wanted if each not in found]:
            if missing[0] in self._ids:
                raise _broken(self.folder, f"{DATABASE} holds no text and metadata of the picture {missing[0]}")
            raise KeyError(f'There is no picture {missing[0]} in the library "{self.name}".')
        return [found[each] for each in wanted]

    def named(self, path: str) -> list[int]:
        """The ids of the pictures of this path, which several roots may have, ascending."""
        ids = [row[0] for row in self._rows("SELECT id FROM pictures WHERE path = ? AND part IS NOT NULL", [path])]
        return sorted(ids)

    def repeated(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that pictures of several roots have."""
        found = set[str]()
        for some in chunks(dict.fromkeys(paths) if len(self.roots) > 1 else []):
            rows = self._rows(
                f"SELECT path FROM pictures WHERE path IN ({marks(len(some))}) AND part IS NOT NULL "
                "GROUP BY path HAVING count(*) > 1",
                some,
            )
            found |= {row[0] for row in rows}
        return found

    def waiting(self) -> list[tuple[int, str]]:
        """(root, path) of the pictures whose vector was lost, which the next `embed` embeds anew, sorted by paths."""
        return self._rows("SELECT root, path FROM pictures WHERE part IS NULL ORDER BY path, root")

    def column(self, name: str) -> list[Any]:
        """One field of all pictures, in the order of `ids`: much faster than `pictures`."""
        if name not in COLUMNS:
            raise ValueError(f"{name!r} is no field of a picture: these are {', '.join(COLUMNS)}.")
        table = "details" if name in DETAILS else "pictures"
        known = dict(self._rows(f"SELECT id, {name} FROM {table}"))
        with _explained(self.folder):
            return column_of(name, known, self._ids.tolist())

    def where(
        self, folder: str | None = None, rating: int | None = None, text: str | None = None
    ) -> npt.NDArray[np.bool_]:
        """Which pictures have all of this, (n,), in the order of `ids`.

        folder: they are in this folder or below it; a path below a root, or a whole one
        rating: they have this rating or a better one
        text: it is in their path, their text or their metadata, in small or large letters
        """
        tests: list[tuple[str, list[Any]]] = []
        if folder is not None:
            tests.append(self._in_folder(folder))
        if rating is not None:
            tests.append(("rating >= ?", [rating]))
        if text:
            words = as_text(text.lower())
            in_json = json.dumps(words, ensure_ascii=False)[1:-1]
            tests.append(("has(path, ?) OR has(text, ?) OR has(metadata, ?)", [words, words, in_json]))
        mask = np.ones(self.count, bool)
        for condition, values in tests:
            tables = "pictures JOIN details ON details.id = pictures.id" if "text" in condition else "pictures"
            rows = self._rows(f"SELECT pictures.id FROM {tables} WHERE {condition}", values)
            mask &= np.isin(self._ids, np.fromiter((row[0] for row in rows), np.int64, len(rows)))
        return mask

    def errors(self) -> list[Failure]:
        """The files that could not be embedded, sorted by their paths."""
        rows = self._rows("SELECT root, path, reason, size, mtime_ns FROM errors ORDER BY path, root")
        with _explained(self.folder):
            return [failure_of(row) for row in rows]

    def path_of(self, picture: Picture) -> Path:
        """Where the file of a picture is, or was. ValueError if that is not below a root that is known."""
        check_below(picture.path)
        if picture.root not in self.roots:
            raise _broken(self.folder, f"{DATABASE} does not say which folder the root {picture.root} is")
        return self.roots[picture.root] / picture.path

    def _in_folder(self, folder: str) -> tuple[str, list[Any]]:
        whole = Path(folder)
        if whole.is_absolute():
            roots = [number for number, root in self.roots.items() if whole.is_relative_to(root)]
            pairs = [(number, whole.relative_to(self.roots[number]).as_posix()) for number in roots]
            inside = [number for number, root in self.roots.items() if root != whole and root.is_relative_to(whole)]
            pairs += [(number, ".") for number in inside]
        else:
            pairs = [(number, whole.as_posix()) for number in self.roots]
        conditions, values = ["0"], list[Any]()
        for number, below in pairs:
            if below == ".":
                conditions.append("root = ?")
                values.append(number)
            else:  # "0" follows "/", so that all between are below the folder
                conditions.append("root = ? AND path >= ? AND path < ?")
                values += [number, f"{below}/", f"{below}0"]
        return " OR ".join(conditions), values

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        with self._lock, _explained(self.folder):
            known = [as_text(value) if isinstance(value, str) else value for value in values]
            return self._connection.execute(query, known).fetchall()

    def _positions(self, ids: Iterable[int]) -> Ids:
        wanted = np.fromiter(ids, np.int64)
        places = np.searchsorted(self._ids, wanted)
        there = places < self.count
        there[there] = self._ids[places[there]] == wanted[there]
        if not there.all():
            raise KeyError(f'There is no picture {wanted[~there][0]} in the library "{self.name}".')
        return places

    def _gathered(self, positions: Ids) -> Vectors:
        places = self._places[positions]
        if len(self._parts) == 1 and np.array_equal(places[:, 1], np.arange(len(places))):
            (part,) = self._parts.values()
            return part.vectors[: len(places)]
        gathered = np.empty((len(places), self.space.dimension), np.float16)
        for number, part in self._parts.items():
            here = np.flatnonzero(places[:, 0] == number)
            if len(here):
                gathered[here] = part.vectors[places[here, 1]]
        return gathered

    def _open_parts(self) -> dict[int, Part]:
        """The parts that hold a vector. All stay open, so that nothing takes them away.

        The last one is read, because a writer replaces it by a longer one.
        """
        if not self.count:
            return {}
        last = int(self._places[:, 0].max())
        most = np.zeros(last + 1, np.int64)
        np.maximum.at(most, self._places[:, 0], self._places[:, 1] + 1)
        parts: dict[int, Part] = {}
        for number in np.flatnonzero(most).tolist():
            parts[number] = part = read_part(self.folder, number, mapped=number != last)
            if part.vectors.shape[1] != self.space.dimension or len(part.ids) < most[number]:
                raise UnusableFile(f"{part_path(self.folder, number).name} does not hold the vectors of its pictures")
        return parts


def generation(folder: str | os.PathLike[str]) -> int:
    """That of a library now, without opening its vectors. Raises as `Library.open`."""
    read_about(Path(folder))
    with _explained(Path(folder)):
        connection = connect_to_read(Path(folder))
        try:
            return state(connection)["generation"]
        finally:
            connection.close()


def _has(text: str, words: str) -> bool:
    """In SQL: LIKE takes small and large letters as equal in ASCII alone, and refuses long words."""
    return words in text.lower()


def _live(connection: sqlite3.Connection) -> tuple[Ids, Places]:
    """The ids of the pictures with a vector, ascending, and where their vectors are."""
    query = f"SELECT id, part * {ROWS} + row FROM pictures WHERE part IS NOT NULL ORDER BY part, row"
    nowhere = (
        "SELECT 1 FROM pictures WHERE part IS NOT NULL AND (typeof(part) <> 'integer' OR typeof(row) <> 'integer' "
        f"OR part NOT BETWEEN 0 AND {MOST_PARTS} OR row NOT BETWEEN 0 AND {ROWS - 1}) LIMIT 1"
    )
    if connection.execute(nowhere).fetchone():
        raise UnusableFile(f"{DATABASE} does not say where the vectors of all pictures are")
    table = pairs(connection.execute(query).fetchall())
    ids, places = np.ascontiguousarray(table[:, 0]), table[:, 1]
    if not (ids[1:] > ids[:-1]).all():
        order = np.argsort(ids)
        ids, places = ids[order], places[order]
    return ids, np.stack(np.divmod(places, ROWS), axis=1)


@contextmanager
def _explained(folder: Path) -> Generator[None]:
    """Say of an error of SQLite, or of a damaged part, which library it is of and what to do."""
    try:
        yield
    except UnusableFile as error:
        raise _broken(folder, str(error).rstrip(".")) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for a message of SQLite that quotes the file
        raise _broken(folder, f"{DATABASE} cannot be read ({error})") from error


def _broken(folder: Path, why: str) -> ValueError:
    name = shown(folder)
    return ValueError(f'The library "{name}" is damaged: {printable(why)}. See `library check {name}`.')
