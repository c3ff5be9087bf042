"""Write a library. Letters: n pictures, R rows of a part, D numbers of a vector."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ...tensor_files import printable
from ...tensor_files.locking import Locked, NoLocks, lock
from ..space import Space
from .about import ABOUT, About, read_about, shown, write_about
from .database import DATABASE, close, connect_to_write, marks, state
from .durable import PART
from .parts import FOLDER, PATTERN, ROWS, Part, Vectors, part_path, read_part, write_part
from .picture import RATINGS, NewPicture, check_below, packed, signed

LOCK = "writer.lock"
TOLERANCE = 1e-2  # how far from 1 a vector's length may be
DEAD = 0.3  # of the rows: from here on compacting is worth it

StrPath = str | os.PathLike[str]
PICTURE = "root, path, size, mtime_ns, sha256, width, height, hash64, kind, rating, part, row"


class NotWritten(ValueError):
    """The library could not be written: the folder may not be, the disk is full, or somebody else is writing."""


class Writer:
    """The only one who writes a library, until it is closed. Each method's change is kept whole or not at all.

    Vectors are written first, then in one transaction what is known of their pictures: a process that is killed leaves
    at most vectors of which nothing is known, and the next writer takes their place.
    """

    def __init__(self, folder: Path, space: Space | None = None, encoder_sha256: str = "") -> None:
        self.folder, self.name = folder, shown(folder)
        self._together = 0
        with ExitStack() as stack, self._explained():
            self.about = self._made(stack, space, encoder_sha256)
            self._connection = connect_to_write(folder)
            stack.callback(close, self._connection)
            self._remove_left_over()
            self._stack = stack.pop_all()
        self.space = self.about.space

    @classmethod
    def open(cls, folder: StrPath, space: Space | None = None, encoder_sha256: str = "") -> Writer:
        """Open a library for writing; make it if there is none and the space of its vectors is given.

        encoder_sha256: of the encoder's file, kept when the library is made

        Raises:
            FileNotFoundError: there is no library, and no space was given.
            NotWritten: somebody else is writing it, or it cannot be written.
            ValueError: it is of another space, damaged, of a newer version, or of another kind.
        """
        return cls(Path(folder).absolute(), space, encoder_sha256)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    @property
    def generation(self) -> int:
        return state(self._connection)["generation"]

    @property
    def roots(self) -> dict[int, Path]:
        return {number: Path(path) for number, path in self._rows("SELECT id, path FROM roots ORDER BY id")}

    @property
    def dead(self) -> float:
        """Which share of the rows in the parts belongs to no picture any more."""
        [(rows,)] = self._rows("SELECT COALESCE(SUM(rows), 0) FROM parts")
        [(live,)] = self._rows("SELECT COUNT(*) FROM pictures WHERE part IS NOT NULL")
        return (rows - live) / rows if rows else 0.0

    @contextmanager
    def together(self) -> Generator[None]:
        """Make all changes inside one: they are kept, or none is if there is an error."""
        with self._explained():
            if not self._together:
                self._connection.execute("BEGIN IMMEDIATE")
            self._together += 1
            try:
                yield
            except BaseException:
                if self._together == 1:
                    with suppress(sqlite3.Error):  # SQLite has rolled back itself when the disk was full
                        self._connection.execute("ROLLBACK")
                raise
            else:
                if self._together == 1:
                    self._commit()
            finally:
                self._together -= 1

    def add(self, pictures: Sequence[NewPicture], vectors: npt.NDArray[np.float32]) -> list[int]:
        """Add pictures, or replace those of the same root and path, and return their ids.

        A replaced one keeps its id, and also its rating if it shows the same (by hash) and no other rating is given.

        vectors: (n, D), of length 1

        Raises:
            NotWritten: nothing was added.
            ValueError: vectors of another shape or length, or pictures that cannot be kept.
        """
        if not pictures:
            return []
        rows = self._checked(pictures, vectors)
        with self.together():
            ids = self._ids_for(pictures)
            places = self._append(rows, np.array(ids, np.int64))
            roots = {root: self._root(root) for root in dict.fromkeys(Path(each.root) for each in pictures)}
            for id, picture, place in zip(ids, pictures, places, strict=True):
                self._put(id, roots[Path(picture.root)], picture, place)
            self._changed(len(pictures))
        return ids

    def fail(self, path: StrPath, reason: str, root: StrPath | None = None, size: int = 0, mtime_ns: int = 0) -> None:
        """Keep why a file could not be embedded. A picture that the library has of it stays.

        path: whole, or below `root`
        root: by default the folder above the file, unless the file is below a root already
        """
        below, folder = (path, Path(root)) if root is not None else self._split(Path(path))
        row = (Path(below).as_posix() if root is None else str(below), reason, size, mtime_ns)
        check_below(row[0])
        with self.together():
            number = self._root(folder)
            if (number, *row) in self._rows("SELECT * FROM errors WHERE path = ? AND root = ?", [row[0], number]):
                return
            self._connection.execute("INSERT OR REPLACE INTO errors VALUES (?, ?, ?, ?, ?)", (number, *row))
            self._changed()

    def remove(self, paths: Iterable[StrPath]) -> int:
        """Forget pictures and errors of these files, and return how many. Files themselves are never touched.

        paths: whole, or below a root
        """
        removed = 0
        with self.together():
            for path in paths:
                for number, below in self._places_of(path):
                    key = (below, number)
                    self._connection.execute(
                        "DELETE FROM details WHERE id IN (SELECT id FROM pictures WHERE path = ? AND root = ?)", key
                    )
                    for table in ("pictures", "errors"):
                        done = self._connection.execute(f"DELETE FROM {table} WHERE path = ? AND root = ?", key)
                        removed += done.rowcount
            self._changed(removed)
        return removed

    def rate(self, path: StrPath, rating: int) -> None:
        """Keep that a picture is good (1), bad (-1), or neither (0).

        path: whole, or below a root

        Raises:
            KeyError: there is no such picture.
            ValueError: another rating, or several pictures of this path below different roots.
        """
        if rating not in RATINGS:
            raise ValueError(f"A rating is -1 (bad), 0 (none) or 1 (good), not {rating!r:.40}.")
        with self.together():
            found = [
                (id, old)
                for number, below in self._places_of(path)
                for id, old in self._rows(
                    "SELECT id, rating FROM pictures WHERE path = ? AND root = ?", [below, number]
                )
            ]
            named = printable(str(path))
            if not found:
                raise KeyError(f'There is no picture {named} in the library "{self.name}".')
            if len(found) > 1:
                raise ValueError(f"{named} is below several roots of the library: give the whole path.")
            [(id, old)] = found
            if old != rating:
                self._connection.execute("UPDATE pictures SET rating = ? WHERE id = ?", (rating, id))
                self._changed()

    def compact(self) -> int:
        """Write the vectors anew without those that belong to no picture any more; return how many went.

        Parts that are full of vectors of pictures, from the first on, stay as they are. Snapshots of readers keep what
        they have.
        """
        with self.together():
            old, keep = self._rows("SELECT number, rows FROM parts ORDER BY number"), 0
            live = dict(self._rows("SELECT part, COUNT(*) FROM pictures WHERE part IS NOT NULL GROUP BY part"))
            while keep < len(old) and live.get(old[keep][0], 0) == ROWS:
                keep += 1
            gone = sum(rows - live.get(number, 0) for number, rows in old[keep:])
            if not gone:
                return 0
            self._rewrite(old[keep][0])
            self._changed()
        self._remove_left_over()
        return gone

    def lose_vectors(self, ids: Sequence[int], parts: Sequence[int]) -> None:
        """Keep pictures without a vector, to be embedded anew, and forget parts that are damaged."""
        with self.together():
            waiting = "UPDATE pictures SET part = NULL, row = NULL WHERE id = ?"
            self._connection.executemany(waiting, [(id,) for id in ids])
            self._connection.executemany("DELETE FROM parts WHERE number = ?", [(number,) for number in parts])
            [(last,)] = self._rows("SELECT COALESCE(MAX(number), -1) FROM parts")
            self._set("next_part", max(last + 1, state(self._connection)["next_part"]))
            self._changed()

    # ------------------------------------------------------------------------------------------------------- opening

    def _made(self, stack: ExitStack, space: Space | None, encoder_sha256: str) -> About:
        """What the library says of itself; it is made if there is none. From here on this is the only writer."""
        if space is None:
            about = read_about(self.folder)
        else:
            (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        stack.callback(self._locked().close)
        if space is None or (self.folder / ABOUT).exists():
            about = read_about(self.folder)
            if space is not None:
                check_space(self.folder, about.space, space)
            return about
        connect_to_write(self.folder).close()
        about = About(space, encoder_sha256)
        write_about(self.folder, about)
        return about

    def _locked(self) -> BinaryIO:
        path = self.folder / LOCK
        file = open(path, "a+b")
        try:
            lock(file)
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
            file.flush()
        except Locked:
            file.seek(0)
            who = printable(file.read(20).decode(errors="replace").strip()) or "unknown"
            file.close()
            raise NotWritten(
                f'The library "{self.name}" is being written by another program (process {who}). Wait until it is '
                "done, or end it."
            ) from None
        except NoLocks:
            file.close()
            raise NotWritten(
                f'The library "{self.name}" is on a drive without locks, where two programs could write at once. Keep '
                "it on a disk of this machine."
            ) from None
        except BaseException:
            file.close()
            raise
        return file

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, sqlite3.OperationalError) as error:
            why = (error.strerror if isinstance(error, OSError) else "") or str(error)
            raise NotWritten(
                f'The library "{self.name}" could not be written: {why}. What it held before is kept. Check that its '
                "folder may be written to and that the disk has room, then do the same again: it goes on from here."
            ) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f'The {DATABASE} of the library "{self.name}" is damaged ({error}). See `library check {self.name}`.'
            ) from error

    def _remove_left_over(self) -> None:
        """Remove files of vectors that no row speaks of: a killed process left them, or a compaction."""
        known = {part_path(self.folder, number).name for (number,) in self._rows("SELECT number FROM parts")}
        for path in left_over(self.folder, known):
            with suppress(OSError):  # a reader holds it, on Windows
                path.unlink()

    # ------------------------------------------------------------------------------------------------------ pictures

    def _checked(self, pictures: Sequence[NewPicture], vectors: npt.NDArray[np.float32]) -> Vectors:
        for picture in pictures:
            picture.check()
        keys = {(Path(each.root), each.path) for each in pictures}
        if len(keys) < len(pictures):
            raise ValueError("A picture was given twice: add it once.")
        array = np.asarray(vectors)
        if array.shape != (len(pictures), self.space.dimension):
            raise ValueError(
                f"{len(pictures)} pictures of {self.space.encoder} have vectors of the shape "
                f"({len(pictures)}, {self.space.dimension}), not {array.shape}."
            )
        wide = array.astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        wrong = np.flatnonzero(~(np.abs(lengths - 1) < TOLERANCE))  # ~, because NaN is not near 1 either
        if len(wrong):
            path = printable(pictures[int(wrong[0])].path)
            raise ValueError(f"The vector of {path} has the length {lengths[wrong[0]]:.4g}, not 1: normalise it first.")
        return array.astype(np.float16)

    def _ids_for(self, pictures: Sequence[NewPicture]) -> list[int]:
        """The ids that the library has for pictures of these paths, or new ones."""
        roots = {path: number for number, path in self.roots.items()}
        following, ids = state(self._connection)["next_id"], list[int]()
        for picture in pictures:
            key = (picture.path, roots.get(Path(picture.root)))
            found = self._connection.execute("SELECT id FROM pictures WHERE path = ? AND root = ?", key).fetchone()
            ids.append(found[0] if found else following)
            following += not found
        self._set("next_id", following)
        return ids

    def _put(self, id: int, root: int, picture: NewPicture, place: tuple[int, int]) -> None:
        old = self._connection.execute("SELECT sha256, hash64, rating FROM pictures WHERE id = ?", (id,)).fetchone()
        rating, hash64 = picture.rating, signed(picture.hash64)
        if old and not rating and (old[0] == picture.sha256 or old[1] is not None and old[1] == hash64):
            rating = old[2]
        values = (
            *(id, root, picture.path, picture.size, picture.mtime_ns, picture.sha256, picture.width, picture.height),
            *(hash64, picture.kind, rating, *place),
        )
        self._connection.execute(f"INSERT OR REPLACE INTO pictures (id, {PICTURE}) VALUES ({marks(13)})", values)
        details = (id, picture.text, packed(picture.metadata))
        self._connection.execute("INSERT OR REPLACE INTO details VALUES (?, ?, ?)", details)
        self._connection.execute("DELETE FROM errors WHERE path = ? AND root = ?", (picture.path, root))

    def _root(self, folder: Path) -> int:
        """The number of a root, which is added if it is new."""
        text = str(folder)
        found = self._connection.execute("SELECT id FROM roots WHERE path = ?", (text,)).fetchone()
        if found:
            return found[0]
        return self._connection.execute("INSERT INTO roots (path) VALUES (?)", (text,)).lastrowid or 0

    def _split(self, path: Path) -> tuple[Path, Path]:
        """(below the root, the root) of a whole path: the deepest root above it, or the folder that it is in."""
        path = path.absolute()
        above = [root for root in self.roots.values() if path.is_relative_to(root) and path != root]
        root = max(above, key=lambda each: len(each.parts), default=path.parent)
        return path.relative_to(root), root

    def _places_of(self, path: StrPath) -> list[tuple[int, str]]:
        """[(number of a root, path below it)] that a path may mean."""
        given = Path(path)
        if not given.is_absolute():
            return [(number, given.as_posix()) for number in self.roots]
        above = [(number, root) for number, root in self.roots.items() if given.is_relative_to(root)]
        return [(number, given.relative_to(root).as_posix()) for number, root in above]

    # ------------------------------------------------------------------------------------------------------- vectors

    def _append(self, vectors: Vectors, ids: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        """Write vectors behind those that there are, and return (part, row) of each.

        The last part is replaced by a longer one that begins alike: whoever knows the old rows finds them in the new
        file. So where one part ends and the next begins does not depend on how many vectors come at once.
        """
        places: list[tuple[int, int]] = []
        number, tail = self._tail()
        start = 0
        while start < len(vectors):
            some = slice(start, start + ROWS - len(tail.ids))
            added = Part(vectors[some], ids[some])
            places += [(number, len(tail.ids) + row) for row in range(len(added.ids))]
            whole = Part(np.concatenate([tail.vectors, added.vectors]), np.concatenate([tail.ids, added.ids]))
            self._write_part(number, whole)
            start, number, tail = start + len(added.ids), number + 1, self._empty()
        return places

    def _tail(self) -> tuple[int, Part]:
        """The number and the rows of the part that vectors are added to."""
        following = state(self._connection)["next_part"]
        last = self._rows("SELECT number, rows FROM parts WHERE number = ?", [following - 1])
        if not last or last[0][1] == ROWS:
            return following, self._empty()
        [(number, rows)] = last
        try:
            part = read_part(self.folder, number, mapped=False)
        except (FileNotFoundError, ValueError):
            return following, self._empty()  # `check` finds it and mends it
        if len(part.ids) < rows or part.vectors.shape[1] != self.space.dimension:
            return following, self._empty()
        return number, Part(part.vectors[:rows], part.ids[:rows])

    def _empty(self) -> Part:
        return Part(np.empty((0, self.space.dimension), np.float16), np.empty(0, np.int64))

    def _write_part(self, number: int, part: Part) -> None:
        write_part(self.folder, number, part)
        rows = len(part.ids)
        self._connection.execute(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (number, rows, part.sha256(rows).hex())
        )
        self._set("next_part", max(number + 1, state(self._connection)["next_part"]))

    def _rewrite(self, first: int) -> None:
        """Write what is live in this part and those after it into new ones, in the order of their ids."""
        live = self._rows("SELECT id, part, row FROM pictures WHERE part >= ? ORDER BY id", [first])
        following = state(self._connection)["next_part"]
        self._connection.execute("DELETE FROM parts WHERE number >= ?", [first])
        for start in range(0, len(live), ROWS):
            some = live[start : start + ROWS]
            ids = np.array([id for id, _, _ in some], np.int64)
            self._write_part(following, Part(self._read([place[1:] for place in some]), ids))
            places = [(following, row, int(id)) for row, id in enumerate(ids)]
            self._connection.executemany("UPDATE pictures SET part = ?, row = ? WHERE id = ?", places)
            following += 1

    def _read(self, places: Sequence[tuple[int, int]]) -> Vectors:
        wanted = np.array(places, np.int64)
        gathered = np.empty((len(places), self.space.dimension), np.float16)
        for number in np.unique(wanted[:, 0]).tolist():
            here = np.flatnonzero(wanted[:, 0] == number)
            gathered[here] = read_part(self.folder, number, mapped=True).vectors[wanted[here, 1]]
        return gathered

    # ------------------------------------------------------------------------------------------------------ database

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        return self._connection.execute(query, list(values)).fetchall()

    def _set(self, name: str, value: int) -> None:
        self._connection.execute("UPDATE state SET value = ? WHERE name = ?", (value, name))

    def _changed(self, times: int = 1) -> None:
        self._connection.execute("UPDATE state SET value = value + ? WHERE name = 'generation'", (times,))


def check_space(folder: Path, ours: Space, other: Space) -> None:
    """Refuse to add vectors of another space. ValueError with both encoders."""
    if ours.is_same(other):
        return
    how = "with other weights" if ours.title == other.title else f"with {ours.title}, and this is {other.title}"
    raise ValueError(
        f'The library "{shown(folder)}" was made {how}; embed it anew under another name with this encoder, or choose '
        f"that encoder."
    )


def left_over(folder: Path, known: set[str]) -> list[Path]:
    """Files of vectors that are not known, and those that were not written to their end."""
    found = [*(folder / FOLDER).glob(PATTERN), *(folder / FOLDER).glob(f"*{PART}"), *folder.glob(f"*{PART}")]
    return sorted(path for path in dict.fromkeys(found) if path.name not in known)
