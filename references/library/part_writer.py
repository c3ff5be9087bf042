"""Add vectors to the parts of a library, and leave out those that belong to no picture. Letters: n pictures, D numbers
of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ...tensor_files.whole_files import UNFINISHED
from .parts import FOLDER, PATTERN, ROWS, Ids, Part, Vectors, part_path, read_part, write_part
from .rows import Place, Rows


class PartWriter:
    def __init__(self, folder: Path, dimension: int, rows: Rows) -> None:
        self.folder, self.dimension, self.rows = folder, dimension, rows

    def append(self, vectors: Vectors, ids: Ids) -> list[Place]:
        """Write vectors (n, D) behind those that there are, and return the place of each.

        The last part is replaced by a longer one that begins alike: whoever knows the old rows finds them in the new
        file. So where one part ends and the next begins does not depend on how many vectors come at once.
        """
        places: list[Place] = []
        number, tail = self._tail()
        start = 0
        while start < len(vectors):
            some = slice(start, start + ROWS - len(tail.ids))
            added = Part(vectors[some], ids[some])
            places += [(number, len(tail.ids) + row) for row in range(len(added.ids))]
            whole = Part(np.concatenate([tail.vectors, added.vectors]), np.concatenate([tail.ids, added.ids]))
            self._write(number, whole)
            start, number, tail = start + len(added.ids), number + 1, self._empty()
        return places

    def compact(self) -> int:
        """Write what is live into new parts, in the order of ids, and return how many rows went.

        Parts that are full of live rows, from the first on, stay as they are. The old files stay too.
        """
        parts, keep = self.rows.ask("SELECT number, rows FROM parts ORDER BY number"), 0
        live = dict(self.rows.ask("SELECT part, COUNT(*) FROM pictures WHERE part IS NOT NULL GROUP BY part"))
        while keep < len(parts) and live.get(parts[keep][0], 0) == ROWS:
            keep += 1
        gone = sum(rows - live.get(number, 0) for number, rows in parts[keep:])
        if gone:
            self._rewrite(parts[keep][0])
            self.rows.changed()
        return gone

    @property
    def dead(self) -> float:
        """Which share of the rows belongs to no picture any more."""
        [(rows,)] = self.rows.ask("SELECT COALESCE(SUM(rows), 0) FROM parts")
        [(live,)] = self.rows.ask("SELECT COUNT(*) FROM pictures WHERE part IS NOT NULL")
        return (rows - live) / rows if rows else 0.0

    def forget(self, numbers: Sequence[int]) -> None:
        """Forget parts that are damaged."""
        for number in numbers:
            self.rows.do("DELETE FROM parts WHERE number = ?", [number])
        [(last,)] = self.rows.ask("SELECT COALESCE(MAX(number), -1) FROM parts")
        self.rows.set("next_part", max(last + 1, self.rows.state("next_part")))

    def remove_left_over(self) -> None:
        """Remove files of vectors that nothing is known of: a killed process left them, or a compaction."""
        known = {part_path(self.folder, number).name for (number,) in self.rows.ask("SELECT number FROM parts")}
        for path in left_over(self.folder, known):
            with suppress(OSError):  # on Windows, a reader may hold it
                path.unlink()

    def _tail(self) -> tuple[int, Part]:
        """The number and the rows of the part that vectors are added to."""
        following = self.rows.state("next_part")
        last = self.rows.ask("SELECT rows FROM parts WHERE number = ? AND rows < ?", [following - 1, ROWS])
        if last:
            with suppress(FileNotFoundError, ValueError):  # `check` finds it and mends it
                part, rows = read_part(self.folder, following - 1, mapped=False), last[0][0]
                if len(part.ids) >= rows and part.vectors.shape[1] == self.dimension:
                    return following - 1, Part(part.vectors[:rows], part.ids[:rows])
        return following, self._empty()

    def _empty(self) -> Part:
        return Part(np.empty((0, self.dimension), np.float16), np.empty(0, np.int64))

    def _write(self, number: int, part: Part) -> None:
        write_part(self.folder, number, part)
        rows = len(part.ids)
        self.rows.do("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (number, rows, part.sha256(rows).hex()))
        self.rows.set("next_part", max(number + 1, self.rows.state("next_part")))

    def _rewrite(self, first: int) -> None:
        """Write what is live in this part and those after it into new ones."""
        live = self.rows.ask("SELECT id, part, row FROM pictures WHERE part >= ? ORDER BY id", [first])
        following = self.rows.state("next_part")
        self.rows.do("DELETE FROM parts WHERE number >= ?", [first])
        for start in range(0, len(live), ROWS):
            some = live[start : start + ROWS]
            ids = np.array([id for id, _, _ in some], np.int64)
            self._write(following, Part(self._read([place[1:] for place in some]), ids))
            places = [(following, row, int(id)) for row, id in enumerate(ids)]
            self.rows.connection.executemany("UPDATE pictures SET part = ?, row = ? WHERE id = ?", places)
            following += 1

    def _read(self, places: Sequence[Place]) -> Vectors:
        wanted = np.array(places, np.int64)
        gathered = np.empty((len(places), self.dimension), np.float16)
        for number in np.unique(wanted[:, 0]).tolist():
            here = np.flatnonzero(wanted[:, 0] == number)
            gathered[here] = read_part(self.folder, number, mapped=True).vectors[wanted[here, 1]]
        return gathered


def left_over(folder: Path, known: set[str]) -> list[Path]:
    """Files of vectors that are not known, and those that were not written to their end."""
    parts = folder / FOLDER
    found = [*parts.glob(PATTERN), *parts.glob(f"*{UNFINISHED}"), *folder.glob(f"*{UNFINISHED}")]
    return sorted(path for path in dict.fromkeys(found) if path.name not in known)
