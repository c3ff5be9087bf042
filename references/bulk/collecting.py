"""Put the parts of a plan into the library, when all are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...tensor_files import UnusableFile
from ..filling.filled import Filled
from ..filling.plan import File
from ..library import WORTH_COMPACTING, NewPicture, Writer
from ..library.parts import ROWS
from ..library.picture import Failure
from ..library.writer_lock import BeingWritten
from .part import Row, unpack
from .place import Place
from .plan import Plan

State = Literal["collected", "missing", "elsewhere", "busy"]
OnProgress = Callable[[int, int], object]
Outcome = tuple[File, Row, npt.NDArray[np.float32] | None]


@dataclass(frozen=True)
class Collected:
    """
    state: "collected", also if another process has done so; "missing" where parts are; "elsewhere" if the library is on
        the machine that made the plan; "busy" if another process writes the library, which it does to collect them
    filled: what the library got, if this process has collected the parts
    missing: how many parts are
    """

    state: State
    filled: Filled | None = None
    missing: int = 0


def collect(place: Place, plan: Plan, on_progress: OnProgress = lambda done, total: None) -> Collected:
    """Put all parts into the library, and remove them with the plan. Killed, it goes on where it was.

    on_progress: called with how many files are done, and how many there are

    Raises:
        NotWritten: the library cannot be written; what is in it and the parts stay.
        ValueError: a part is damaged.
    """
    if missing := place.missing(plan):
        return Collected("missing", missing=len(missing)) if place.has_plan else Collected("collected")
    if not place.waits_for(plan):
        return Collected("elsewhere") if place.has_plan else Collected("collected")
    assert place.library
    try:
        with Writer.open(place.library, plan.maker.space, plan.maker.sha256) as writer:
            if not place.has_plan:
                return Collected("collected")
            filled = _Collecting(place, plan, writer, on_progress).run()
            place.clear()
            return Collected("collected", filled)
    except BeingWritten:
        return Collected("busy")


@dataclass
class _Collecting:
    place: Place
    plan: Plan
    writer: Writer
    on_progress: OnProgress
    filled: Filled = field(default_factory=Filled)
    waiting: list[Outcome] = field(default_factory=list[Outcome])

    def run(self) -> Filled:
        """What the library knows as the plan does was collected before a kill."""
        roots, rows = self.writer.roots, self.writer.rows
        known = {number: set(rows.files(number)) for number in self.plan.roots}
        for done, (file, row, vector) in enumerate(self._outcomes(), start=1):
            self._count(roots[file.root] / file.path, file, row)
            if (file.path, file.size, file.mtime_ns) not in known[file.root]:
                self.waiting.append((file, row, vector))
            if len(self.waiting) == ROWS:
                self._keep(roots)
                self.on_progress(done, len(self.plan.entries))
        self._keep(roots)
        if self.writer.dead > WORTH_COMPACTING:
            self.writer.compact()
        return self.filled

    def _outcomes(self) -> Iterator[Outcome]:
        """The files of the plan with what came of them."""
        for number in range(self.plan.shards):
            files = self.plan.files(number, self.place.source)
            rows, vectors = self._read(number, len(files))
            following = iter(vectors.astype(np.float32))
            for file, row in zip(files, rows, strict=True):
                yield file, row, next(following) if row.has_vector else None

    def _read(self, number: int, files: int) -> tuple[list[Row], npt.NDArray[np.float16]]:
        path = self.place.part(self.plan, number)
        try:
            return unpack(path.read_bytes(), files, self.plan.maker.space.dimension)
        except UnusableFile as error:
            path.unlink(missing_ok=True)
            raise ValueError(
                f"{path.name} {error} It was removed: do the same again with --shard 1/1, which makes it anew."
            ) from error

    def _count(self, whole: Path, file: File, row: Row) -> None:
        if row.error:
            self.filled.failed.append((whole, row.error))
        elif row.touched:
            self.filled.unchanged += 1
        elif file.known:
            self.filled.replaced += 1
        else:
            self.filled.added += 1

    def _keep(self, roots: dict[int, Path]) -> None:
        """Write what waits, in one transaction."""
        new = [_new(file, row, roots[file.root]) for file, row, _ in self.waiting if row.has_vector]
        vectors = [vector for _, _, vector in self.waiting if vector is not None]
        with self.writer.together():
            self.writer.add(new, np.array(vectors, np.float32))
            for file, row, _ in self.waiting:
                if row.touched:
                    self.writer.rows.touch(file.key, file.size, file.mtime_ns)
                elif row.error:
                    self.writer.rows.fail(Failure(*file.key, row.error, file.size, file.mtime_ns))
        self.waiting = []


def _new(file: File, row: Row, root: Path) -> NewPicture:
    return NewPicture(
        root,
        file.path,
        file.size,
        file.mtime_ns,
        row.sha256,
        row.width,
        row.height,
        row.hash64,
        row.kind,
        metadata=row.metadata,
    )
