"""Write a library. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...tensor_files import printable
from ..space import Space
from .about import ABOUT, About, read_about, shown, write_about
from .database import DATABASE, close, connect_to_write
from .part_writer import PartWriter
from .parts import FOLDER, Vectors
from .picture import RATINGS, Failure, NewPicture, as_text, check_below
from .rows import HERE, Key, Rows
from .writer_lock import NotWritten, locked

TOLERANCE = 1e-2  # how far from 1 a vector's length may be
WORTH_COMPACTING = 0.3  # of the rows belong to no picture

StrPath = str | os.PathLike[str]


class Writer:
    """The only one who writes a library, until it is closed. Each method's change is kept whole or not at all.

    Vectors are written first, then in one transaction what is known of their pictures: a process that is killed leaves
    at most vectors of which nothing is known, and the next writer takes their place.

    rows: for changes that have no method here, made inside `together`
    """

    def __init__(
        self, folder: Path, space: Space | None = None, encoder_sha256: str = "", encoder_path: str = ""
    ) -> None:
        self.folder, self.name = folder, shown(folder)
        self._depth = 0
        with ExitStack() as stack, self._explained():
            self.about = self._made(stack, space and About(space, encoder_sha256, encoder_path))
            self.space = self.about.space
            self.rows = Rows(connect_to_write(folder))
            stack.callback(close, self.rows.connection)
            self._parts = PartWriter(folder, self.space.dimension, self.rows)
            self._parts.remove_left_over()
            self._stack = stack.pop_all()

    @classmethod
    def open(
        cls, folder: StrPath, space: Space | None = None, encoder_sha256: str = "", encoder_path: str = ""
    ) -> Writer:
        """Open a library for writing; make it if there is none and the space of its vectors is given.

        encoder_sha256, encoder_path: as `About` has them, kept when the library is made

        Raises:
            FileNotFoundError: there is no library, and no space was given.
            NotWritten: somebody else is writing it, or it cannot be written.
            ValueError: it is of another space, damaged, of a newer version, or of another kind.
        """
        return cls(Path(folder).absolute(), space, encoder_sha256, encoder_path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    @property
    def generation(self) -> int:
        return self.rows.state("generation")

    @property
    def roots(self) -> dict[int, Path]:
        return self.rows.roots()

    @property
    def dead(self) -> float:
        """Which share of the rows in the parts belongs to no picture any more."""
        return self._parts.dead

    @contextmanager
    def together(self) -> Generator[None]:
        """Make all changes inside one: they are kept, or none is if there is an error."""
        with self._explained():
            if not self._depth:
                self.rows.do("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self.rows.do("COMMIT")
            except BaseException:
                if self._depth == 1:
                    with suppress(sqlite3.Error):  # SQLite has rolled back itself when the disk was full
                        self.rows.do("ROLLBACK")
                raise
            finally:
                self._depth -= 1

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
        checked = self._checked(pictures, vectors)
        with self.together():
            roots = {root: self.rows.root(root) for root in dict.fromkeys(Path(each.root) for each in pictures)}
            numbers = [roots[Path(picture.root)] for picture in pictures]
            ids = self.rows.ids_for(zip(numbers, (picture.path for picture in pictures), strict=True))
            places = self._parts.append(checked, np.array(ids, np.int64))
            for id, root, picture, place in zip(ids, numbers, pictures, places, strict=True):
                self.rows.put(id, root, picture, place)
            self.rows.changed(len(pictures))
        return ids

    def fail(self, path: StrPath, reason: str, root: StrPath | None = None, size: int = 0, mtime_ns: int = 0) -> None:
        """Keep why a file could not be embedded. A picture that the library has of it stays.

        path: whole, or below `root`
        root: by default the deepest root above the file, or else the folder that it is in
        """
        with self.together():
            whole = Path(root, path) if root is not None else Path(path).absolute()
            folder = Path(root) if root is not None else self._root_above(whole)
            below = whole.relative_to(folder).as_posix()
            check_below(below)
            self.rows.fail(Failure(self.rows.root(folder), below, reason, size, mtime_ns))

    def remove(self, paths: Iterable[StrPath]) -> int:
        """Forget pictures and errors of these files, and return how many. Files themselves are never touched.

        paths: whole, or below a root
        """
        with self.together():
            removed = sum(self.rows.remove(key) for path in paths for key in self._keys(path))
            self.rows.changed(removed)
        return removed

    def rate(self, path: StrPath, rating: int, root: int | None = None) -> None:
        """Keep that a picture is good (1), bad (-1), or neither (0).

        path: whole, or below a root
        root: the number of that root, where several have the path

        Raises:
            KeyError: there is no such picture.
            ValueError: another rating, or several pictures of this path below different roots.
        """
        if rating not in RATINGS:
            raise ValueError(f"A rating is -1 (bad), 0 (none) or 1 (good), not {rating!r:.40}.")
        named = printable(str(path))
        with self.together():
            query = f"SELECT id, rating FROM pictures WHERE {HERE}"
            keys = self._keys(path) if root is None else [(root, as_text(str(path)))]
            found = [row for number, below in keys for row in self.rows.ask(query, (below, number))]
            if not found:
                raise KeyError(f'There is no picture {named} in the library "{self.name}".')
            if len(found) > 1:
                raise ValueError(f"{named} is below several roots of the library: give the whole path.")
            [(id, old)] = found
            if old != rating:
                self.rows.do("UPDATE pictures SET rating = ? WHERE id = ?", (int(rating), id))
                self.rows.changed()

    def compact(self) -> int:
        """Write the vectors anew without those that belong to no picture any more; return how many went.

        Snapshots of readers keep what they have.
        """
        with self.together():
            gone = self._parts.compact()
        self._parts.remove_left_over()
        return gone

    def lose(self, ids: Sequence[int], parts: Sequence[int]) -> None:
        """Keep pictures without a vector, to be embedded anew, and forget parts that are damaged."""
        with self.together():
            self.rows.lose_vectors(ids)
            self._parts.forget(parts)

    def _made(self, stack: ExitStack, new: About | None) -> About:
        """What the library says of itself; it is made if there is none. From here on this is the only writer."""
        about = read_about(self.folder) if new is None or (self.folder / ABOUT).exists() else None
        (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(self.folder))
        if about is None and new is not None and not (self.folder / ABOUT).exists():
            connect_to_write(self.folder).close()
            write_about(self.folder, new)
        about = read_about(self.folder)
        if new is not None:
            check_space(self.folder, about.space, new.space)
        return about

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

    def _checked(self, pictures: Sequence[NewPicture], vectors: npt.NDArray[np.float32]) -> Vectors:
        for picture in pictures:
            picture.check()
        if len({(Path(each.root), each.path) for each in pictures}) < len(pictures):
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

    def _root_above(self, path: Path) -> Path:
        """The deepest root above a file, or else the folder that it is in."""
        above = [root for root in self.roots.values() if path.is_relative_to(root) and path != root]
        return max(above, key=lambda root: len(root.parts), default=path.parent)

    def _keys(self, path: StrPath) -> list[Key]:
        """What a path may mean."""
        given = Path(as_text(str(path)))
        if not given.is_absolute():
            return [(number, given.as_posix()) for number in self.roots]
        above = [(number, root) for number, root in self.roots.items() if given.is_relative_to(root)]
        return [(number, given.relative_to(root).as_posix()) for number, root in above]


def check_space(folder: Path, ours: Space, other: Space) -> None:
    """Refuse to add vectors of another space. ValueError with both encoders."""
    if ours.is_same(other):
        return
    how = "with other weights" if ours.title == other.title else f"with {ours.title}, and this is {other.title}"
    raise ValueError(
        f'The library "{shown(folder)}" was made {how}; embed it anew under another name with this encoder, or choose '
        "that encoder."
    )
