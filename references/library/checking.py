"""Look whether a library is whole, and mend what can be mended without losing anything. Letters: R rows of a part."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...tensor_files import UnusableFile, printable
from .about import ABOUT, read_about, shown
from .database import DATABASE, connect_to_read, state
from .part_writer import left_over
from .parts import Part, pairs, part_path, read_part
from .row_checks import mend_rows, wrong_rows
from .writer import TOLERANCE, Writer

NO_ROW = "(typeof(row) <> 'integer' OR row < 0)"
DAMAGED = ".damaged"  # after the name of a part that is set aside


@dataclass(frozen=True)
class Problem:
    """what: in words
    ids: pictures whose vectors are lost by it
    number: of the part that is damaged as a whole, or missing; its file is set aside when the library is mended
    """

    what: str
    ids: tuple[int, ...] = field(default=(), repr=False)
    number: int | None = None


@dataclass(frozen=True)
class Report:
    """What a check found.

    pictures: with a vector
    waiting: pictures whose vector was lost, and which the next `embed` embeds anew; what else is known of them is kept
    dead: share of the rows in the parts that belong to no picture any more
    left_over: files of vectors that a killed writer left; the next writer removes them
    problems: what is wrong
    mended: what was wrong and is not any more
    """

    pictures: int
    waiting: int
    parts: int
    dead: float
    left_over: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    mended: tuple[Problem, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.problems


def check(folder: str | os.PathLike[str], repair: bool = False) -> Report:
    """Look at every file and every vector of a library.

    repair: whether to mend it. A picture without a good vector keeps its path, rating and metadata, and waits for the
        next `embed`. A damaged part is renamed, and files that a killed writer left are removed. Of rows that cannot
        be read, what can be is kept

    Raises:
        FileNotFoundError: there is no library.
        NotWritten: it is to be mended, and somebody else is writing it, or it cannot be written.
        ValueError: what cannot be mended: library.json is damaged or says another width than the vectors have, or
            pictures.sqlite is damaged.
    """
    folder = Path(folder)
    read_about(folder)
    if not repair:
        return _report(folder)
    found = _report(folder)  # before a writer removes what was left over
    with Writer.open(folder) as writer:
        problems = _report(folder).problems
        _mend(folder, writer, problems)
    now = _report(folder)
    removed = set(found.left_over) - set(now.left_over)
    tidied = tuple(Problem(f"{name} was left by a process that was killed") for name in sorted(removed))
    mended = (each for each in dict.fromkeys((*found.problems, *problems)) if each not in now.problems)
    return replace(now, mended=(*mended, *tidied))


def _report(folder: Path) -> Report:
    about = read_about(folder)
    try:
        connection = connect_to_read(folder)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _lost(folder, str(error)) from error
    try:
        if (answer := connection.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise _lost(folder, answer)
        [(live,)] = connection.execute("SELECT COUNT(*) FROM pictures WHERE part IS NOT NULL")
        [(waiting,)] = connection.execute("SELECT COUNT(*) FROM pictures WHERE part IS NULL")
        parts = _parts(connection)
        rows = sum(count for _, count, _ in parts)
        known = {part_path(folder, number).name for number, _, _ in parts}
        problems = tuple(_problems(folder, connection, about.space.dimension, parts))
        extra = tuple(path.name for path in left_over(folder, known))
        return Report(live, waiting, len(parts), (rows - live) / rows if rows else 0.0, extra, problems)
    except (sqlite3.DatabaseError, UnicodeDecodeError, UnusableFile) as error:
        raise _lost(folder, str(error)) from error
    finally:
        connection.close()


def _parts(connection: sqlite3.Connection) -> list[tuple[int, int, str]]:
    """(number, how many rows, SHA-256) of each. Raises UnusableFile if that cannot be read."""
    parts = connection.execute("SELECT number, rows, sha256 FROM parts ORDER BY number").fetchall()
    if not all(isinstance(rows, int) and rows >= 0 for _, rows, _ in parts):
        raise UnusableFile("it does not say how long the parts are")
    return parts


def _problems(
    folder: Path, connection: sqlite3.Connection, dimension: int, parts: list[tuple[int, int, str]]
) -> Iterator[Problem]:
    for number, rows, sha256 in parts:
        query = f"SELECT id, row FROM pictures WHERE part = ? AND NOT {NO_ROW} ORDER BY id"
        live = connection.execute(query, (number,)).fetchall()
        yield from _problems_of_part(folder, number, rows, sha256, dimension, live)
    query = "SELECT id FROM pictures WHERE part IS NOT NULL AND part NOT IN (SELECT number FROM parts) ORDER BY id"
    if ids := tuple(id for (id,) in connection.execute(query)):
        yield Problem(f"{_counted(len(ids))} in parts of which nothing is known", ids)
    query = f"SELECT id FROM pictures WHERE part IN (SELECT number FROM parts) AND {NO_ROW} ORDER BY id"
    if ids := tuple(id for (id,) in connection.execute(query)):
        yield Problem(f"{_counted(len(ids))} in no row of a part", ids)
    if (following := state(connection)["next_part"]) <= max((number for number, _, _ in parts), default=-1):
        yield Problem(f"the next part would be {following}, which is there already")
    yield from map(Problem, wrong_rows(connection))


def _problems_of_part(
    folder: Path, number: int, rows: int, sha256: str, dimension: int, live: list[tuple[int, int]]
) -> Iterator[Problem]:
    name, ids = part_path(folder, number).name, tuple(id for id, _ in live)
    try:
        part = read_part(folder, number, mapped=True)
    except FileNotFoundError:
        yield Problem(f"{name} is missing, with the vectors of {_counted(len(ids))}", ids, number)
        return
    except (UnusableFile, OSError) as error:
        yield Problem(str(error), ids, number)
        return
    width = part.vectors.shape[1]
    if width != dimension and len(part.ids) >= rows and part.sha256(rows).hex() == sha256:
        raise ValueError(
            f'The {ABOUT} of the library "{shown(folder)}" says that a vector has {dimension} numbers, and {name}, '
            f'which is as it was written, has {width}: write "dimension": {width} into {ABOUT}, or restore a copy. '
            "Nothing was changed."
        )
    if width != dimension or len(part.ids) < rows:
        shape = f"({len(part.ids)}, {width})"
        yield Problem(f"{name} has the shape {shape}, and ({rows}, {dimension}) is known of it", ids, number)
    elif part.sha256(rows).hex() != sha256:
        yield Problem(f"{name} was changed: its SHA-256 is another", ids, number)
    elif wrong := _wrong_rows(part, rows, live):
        yield Problem(f"{name} has no vectors of length 1 for {_counted(len(wrong))}", wrong)


def _wrong_rows(part: Part, rows: int, live: list[tuple[int, int]]) -> tuple[int, ...]:
    """The ids of pictures whose row is not theirs, or no vector of length 1."""
    places = pairs(live)
    inside = places[:, 1] < rows
    ids, numbers = places[inside, 0], places[inside, 1]
    vectors = part.vectors[numbers].astype(np.float32)
    lengths = np.sqrt(np.einsum("rd,rd->r", vectors, vectors))
    good = (part.ids[numbers] == ids) & (np.abs(lengths - 1) < 2 * TOLERANCE)  # fp16 has rounded each number
    return (*places[~inside, 0].tolist(), *ids[~good].tolist())


def _mend(folder: Path, writer: Writer, problems: tuple[Problem, ...]) -> None:
    for path in (part_path(folder, problem.number) for problem in problems if problem.number is not None):
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}{DAMAGED}"))
    writer.lose(
        [id for problem in problems for id in problem.ids],
        [problem.number for problem in problems if problem.number is not None],
    )
    with writer.together():
        mend_rows(writer.rows, folder)


def _counted(pictures: int) -> str:
    return f"{pictures:,} picture{'' if pictures == 1 else 's'}"


def _lost(folder: Path, why: str) -> ValueError:
    return ValueError(
        f'The {DATABASE} of the library "{shown(folder)}" cannot be mended ({printable(why, 200)}): restore it from a '
        "copy, or remove the library and embed its pictures anew."
    )
