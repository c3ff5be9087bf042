"""Search a LanceDB table as a library. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ...tensor_files import printable
from ..embedding import Embedding
from ..exports.arrow import COLUMNS, VECTOR
from ..exports.store import explained
from ..library import Picture
from ..library.about import shown
from ..library.database import chunks
from ..library.picture import check_below
from ..search import Hit
from ..search.searcher import check_query
from .about import About
from .conditions import condition, quoted
from .pointer import Pointer, read_pointer

MORE = 30  # candidates beyond those that are asked for
OFF = 2e-3  # how far LanceDB's scores may be off: it sums fp16 in what the processor has
LARGEST = 1.03  # cosine of two vectors whose lengths are as far off 1 as libraries allow
REFINED = 4  # times as many candidates of an index are scored anew by LanceDB itself
PROBES, PER_PROBE = 20, 10_000  # partitions of an index that are looked into: at least, and one more for so many rows


class LanceLibrary:
    """A `Searchable`: one version of a table.

    generation: grows with each export and each change
    roots: {number: the folder that paths are below, on this machine}, of those that were given
    exported_roots: the same where it was exported, of all
    """

    def __init__(self, folder: Path, pointer: Pointer, table: Any, about: About) -> None:
        self.folder, self.name, self.pointer = folder, shown(folder), pointer
        self.space, self.encoder_sha256 = about.space, about.encoder_sha256
        self.roots, self.exported_roots = pointer.roots, about.roots
        self._table = table
        with self._explained():
            self.generation: int = (about.exported << 20) + table.version
            self.count: int = table.count_rows()

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> LanceLibrary:
        """Open the table that a library is connected to, as it is now.

        Raises:
            FileNotFoundError: there is no library.
            ValueError: lancedb is missing, the store cannot be reached, the table is gone, is none of a library, or is
                of another encoder than when the library was connected.
        """
        folder = Path(folder)
        pointer = read_pointer(folder)
        table, about = pointer.opened()
        if pointer.space is not None and not pointer.space.is_same(about.space):
            how = "another file of it" if pointer.space.title == about.space.title else about.space.title
            raise ValueError(
                f'The library "{shown(folder)}" was connected to a table of {pointer.space.title}, and {pointer.title} '
                f"is of {how} now: their numbers do not compare. Connect the library anew to use that encoder."
            )
        return cls(folder, pointer, table, about)

    def __enter__(self) -> LanceLibrary:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is kept open; what was read stays."""

    def __len__(self) -> int:
        return self.count

    def search(
        self,
        query: Embedding,
        k: int = 10,
        *,
        minimum: float | None = None,
        folder: str | None = None,
        rating: int | None = None,
        text: str | None = None,
        exact: bool = True,
    ) -> list[list[Hit]]:
        """As `Searchable.search`. exact: if not, the index of the table is used, where it has one."""
        check_query(query, self.name, self.space)
        _check_asked(k, minimum)
        where = condition(self.roots, self.exported_roots, folder, rating, text)
        lowest = -np.inf if minimum is None else minimum
        vectors = cast("npt.NDArray[np.float32]", cast(Any, query.vectors).numpy())
        return [self._nearest(vector, k, lowest, where, exact) for vector in vectors]

    def newest(self, k: int, *, folder: str | None = None, rating: int | None = None) -> list[int]:
        where = condition(self.roots, self.exported_roots, folder, rating)
        return self._ids(where)[::-1][: max(0, k)].tolist()

    def named(self, path: str) -> list[int]:
        return self._ids(f"path = {quoted(path)}").tolist()

    def repeated(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that pictures of several roots have."""
        counts = Counter[str]()
        for some in chunks(dict.fromkeys(paths) if len(self.exported_roots) > 1 else []):
            listed = ", ".join(map(quoted, some))
            counts.update(self._read(["path"], f"path IN ({listed})").column("path").to_pylist())
        return {path for path, count in counts.items() if count > 1}

    def picture(self, id: int) -> Picture:
        """KeyError if there is no such picture."""
        return self.pictures([id])[0]

    def pictures(self, ids: Iterable[int]) -> list[Picture]:
        """In the order of the ids. KeyError if there is no such picture."""
        wanted, found = [int(each) for each in ids], dict[int, Picture]()
        for some in chunks(dict.fromkeys(wanted)):
            rows = self._read(list(COLUMNS), _among(some)).to_pylist()
            found |= {row["id"]: _picture(row) for row in rows}
        if missing := [each for each in wanted if each not in found]:
            raise KeyError(f'There is no picture {missing[0]} in the library "{self.name}".')
        return [found[each] for each in wanted]

    def vectors_of(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """(n, D), in this order. ValueError if a picture is not there."""
        found = dict[int, npt.NDArray[np.float32]]()
        for some in chunks(dict.fromkeys(int(each) for each in ids)):
            numbers, vectors = self._vectors(self._read(["id", VECTOR], _among(some)))
            found |= zip(numbers.tolist(), vectors, strict=True)
        if (missing := next((each for each in ids if each not in found), None)) is not None:
            raise ValueError(f'The library "{self.name}" has no picture {missing}: it was removed. Search again.')
        rows = [found[int(each)] for each in ids]
        return np.stack(rows) if rows else np.empty((0, self.space.dimension), np.float32)

    def path_of(self, picture: Picture) -> Path:
        """Where the file of a picture is on this machine, or was.

        Raises:
            ValueError: nothing says which folder its root is here, or the path is not below it.
        """
        check_below(picture.path)
        root = self.roots.get(picture.root)
        if root is None:
            there = printable(self.exported_roots.get(picture.root, "an unknown folder"), 200)
            raise ValueError(
                f'{printable(picture.path, 200)} is below {there} where the library "{self.name}" was exported, and '
                f"which folder that is on this machine is not known. Connect the library anew with the root "
                f"{picture.root}=FOLDER."
            )
        path = root / picture.path
        if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root)):  # Windows has more ways out
            raise ValueError(f"{printable(picture.path, 200)} is not below its root.")
        return path

    def _nearest(
        self, vector: npt.NDArray[np.float32], k: int, lowest: float, where: str | None, exact: bool
    ) -> list[Hit]:
        """LanceDB's scores find candidates, which are scored again in float64."""
        wanted = k + MORE
        while True:
            ids, scores, fast = self._candidates(vector, wanted, where, exact)
            order = np.lexsort((ids, -scores))[:k]
            if not exact or len(ids) < wanted or fast.min() + OFF < max(scores[order[-1]], lowest):
                break
            wanted *= 4  # others may be as good
        kept = [number for number in order if scores[number] >= lowest]
        return [
            Hit(int(ids[each]), min(1.0, max(-1.0, float(scores[each]))), rank) for rank, each in enumerate(kept, 1)
        ]

    def _candidates(
        self, vector: npt.NDArray[np.float32], wanted: int, where: str | None, exact: bool
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The ids of the best, their scores, and LanceDB's scores."""
        with self._explained():
            asked = self._table.search(vector, vector_column_name=VECTOR).limit(wanted)
            if exact:
                asked = asked.distance_type("dot").bypass_vector_index()
            else:
                probes = max(PROBES, self.count // PER_PROBE)
                asked = asked.distance_type("cosine").nprobes(probes).refine_factor(REFINED)
            if where is not None:
                asked = asked.where(where, prefilter=True)
            found = asked.select(["id", VECTOR, "_distance"]).to_arrow()
        ids, rows = self._vectors(found)
        scores = (rows.astype(np.float64) * vector.astype(np.float64)).sum(axis=1)
        if not (np.abs(scores) < LARGEST).all():
            raise ValueError(
                f"{self.pointer.title} is damaged: it holds a vector that is longer than 1 or without finite numbers. "
                "Export it again."
            )
        return ids, scores, 1 - found.column("_distance").to_numpy().astype(np.float64)

    def _read(self, columns: list[str], where: str | None = None) -> Any:
        """A pyarrow.Table."""
        with self._explained():
            asked = self._table.search().select(columns)
            return (asked if where is None else asked.where(where)).to_arrow()

    def _ids(self, where: str | None) -> npt.NDArray[np.int64]:
        return np.sort(self._read(["id"], where).column("id").to_numpy())

    def _vectors(self, found: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        numbers = found.column(VECTOR).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return found.column("id").to_numpy(), numbers.reshape(-1, self.space.dimension).astype(np.float32)

    def _explained(self) -> Any:
        return explained(self.pointer.title)


def _check_asked(k: int, minimum: float | None) -> None:
    if k < 1:
        raise ValueError(f"{k} nearest pictures cannot be found: ask for 1 or more.")
    if minimum is not None and not math.isfinite(minimum):
        raise ValueError(f"The lowest score that counts is a number from -1 to 1, not {minimum}.")


def _among(ids: list[int]) -> str:
    return f"id IN ({', '.join(map(str, ids))})"


def _picture(row: dict[str, Any]) -> Picture:
    row["metadata"] = _metadata(row["metadata"])
    return Picture(**row)


def _metadata(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
