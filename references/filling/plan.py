"""Compare what is on disk with what a library knows: what is new, changed, moved, gone."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...tensor_files import printable
from ..digests import sha256_of
from ..library.picture import is_text
from ..library.rows import Key, Rows
from .listing import Listed
from .reading import is_features
from .walk import FEATURES, Entry, Walked, root_above

ODD = "Its name is not text (UTF-8), so that it cannot be kept: give it another one."


@dataclass(frozen=True)
class File:
    """A file to be read. root is the number of the folder; other fields as in `references.library.Picture`.

    known: whether the library has a picture of this path
    """

    root: int
    path: str
    size: int
    mtime_ns: int
    whole: Path
    known: bool = False

    @property
    def key(self) -> Key:
        return self.root, self.path


@dataclass
class Plan:
    """
    todo: the files to read, in this order: new and changed ones, then those that failed before
    moved: (where a picture was, its file now)
    gone: pictures whose files are not there any more
    past: errors of files that are not there any more
    refused: (root, path, why) of what cannot be read at all
    found: how many files there are
    unchanged: how many of them have the size and the time that the library knows
    """

    todo: list[File] = field(default_factory=list[File])
    moved: list[tuple[Key, File]] = field(default_factory=list[tuple[Key, File]])
    gone: list[Key] = field(default_factory=list[Key])
    past: list[Key] = field(default_factory=list[Key])
    refused: list[tuple[Path, str, str]] = field(default_factory=list[tuple[Path, str, str]])
    found: int = 0
    unchanged: int = 0


def make_plan(rows: Rows, found: Walked | Listed, folder: Path | None, should_stop: Callable[[], bool]) -> Plan:
    """What is to be done. It depends on nothing but the files and what the library knows.

    folder: whose pictures are gone if they were not found; None for a list, which may leave out what it likes
    should_stop: asked before each file that is hashed, to see whether it was moved
    """
    listed = found if isinstance(found, Listed) else None
    walked = found if isinstance(found, Walked) else found.walked
    made = Plan(refused=_refused(rows, walked, listed))
    failed = {(each.root, each.path): (each.size, each.mtime_ns) for each in rows.errors()}
    fresh, retried = list[File](), list[File]()
    for number, root in rows.roots().items():
        files = walked.files.get(root, [])
        scope = _scope(root, folder, walked)
        if not files and scope is None:
            continue
        new, gone = _compared(rows, number, root, files, made)
        made.gone += [(number, path) for path in sorted(gone) if scope is not None and scope(path)]
        for file in new:
            (retried if failed.get(file.key) == (file.size, file.mtime_ns) else fresh).append(file)
        if scope is not None:
            here = {file.path for file in new} | {path for at, path, _ in made.refused if at == root}
            errors = (key for key in failed if key[0] == number and scope(key[1]))
            made.past += [key for key in errors if key[1] not in here]
    order = {place: number for number, place in enumerate(listed.order)} if listed else None
    for files in (fresh, retried):
        files.sort(key=lambda file: (order[_root(file), file.path] if order else 0, file.path, str(file.whole)))
    _find_moved(rows, fresh, made, should_stop)
    taken = {file.key for _, file in made.moved}
    made.todo = [file for file in (*fresh, *retried) if file.key not in taken]
    return made


def _compared(rows: Rows, number: int, root: Path, files: list[Entry], made: Plan) -> tuple[list[File], set[str]]:
    """(new and changed files, the paths of pictures whose files were not found) of a root"""
    known = set(rows.files(number))
    new = [entry for entry in files if entry not in known]
    all_there = len(files) - len(new) == len(known)
    old = set[str]() if all_there else {path for path, _, _ in known.difference(files)}
    paths = {path for path, _, _ in new}
    if waiting := rows.waiting(number):
        old |= set(waiting)
        paths |= {path for path, _, _ in files}
    made.found += len(files)
    made.unchanged += len(files) - len(new)
    made.refused += [(root, printable(path), ODD) for path, _, _ in sorted(new) if not is_text(path)]
    wanted = (entry for entry in new if is_text(entry[0]) and _is_wanted(root / entry[0]))
    return [File(number, *entry, root / entry[0], entry[0] in old) for entry in wanted], old - paths


def _is_wanted(path: Path) -> bool:
    """Models have the same ending as saved features."""
    return path.suffix.lower() != FEATURES or is_features(path)


def _scope(root: Path, folder: Path | None, walked: Walked) -> Callable[[str], bool] | None:
    """Whether a path below a root would have been found; None if nothing below it would."""
    if folder is None or not (folder.is_relative_to(root) or root.is_relative_to(folder)):
        return None
    inside = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else "."
    hidden = tuple(f"{path}{os.sep}" for path, _ in walked.unreadable)
    begin, base = "" if inside == "." else f"{inside}/", f"{root}{os.sep}"
    return lambda path: path.startswith(begin) and not f"{base}{path}".startswith(hidden)


def _refused(rows: Rows, walked: Walked, listed: Listed | None) -> list[tuple[Path, str, str]]:
    roots = [*rows.roots().values(), *walked.files]
    absent = (
        listed.absent if listed else [(path, f"The folder cannot be read: {why}.") for path, why in walked.unreadable]
    )
    refused = list[tuple[Path, str, str]]()
    for path, why in absent:
        root = root_above(path.parent, roots) or path.parent
        refused.append((root, printable(path.relative_to(root).as_posix()), why))
    return sorted(refused)


def _root(file: File) -> Path:
    return file.whole.parents[file.path.count("/")]


def _find_moved(rows: Rows, fresh: Iterable[File], made: Plan, should_stop: Callable[[], bool]) -> None:
    """Find files that a library knows by another path, where there is none any more. They are known by SHA-256."""
    new = [file for file in fresh if not file.known]
    if not new:
        return
    lost = _lost(rows, {file.size for file in new}, set(made.gone))
    for file in new:
        if file.size not in lost:
            continue
        if should_stop():
            return
        with suppress(OSError):
            keys = lost[file.size].get(sha256_of(file.whole))
            if keys:
                made.moved.append((keys.pop(0), file))
    taken = {key for key, _ in made.moved}
    made.gone = [key for key in made.gone if key not in taken]


def _lost(rows: Rows, sizes: Collection[int], gone: Collection[Key]) -> dict[int, dict[str, list[Key]]]:
    """{size: {SHA-256: pictures whose files are not there}} of these sizes"""
    roots = {number: root for number, root in rows.roots().items() if root.is_dir()}
    lost = defaultdict[int, dict[str, list[Key]]](dict)
    for root, path, size, sha256 in rows.contents():
        if size in sizes and root in roots and ((root, path) in gone or not os.path.lexists(roots[root] / path)):
            lost[size].setdefault(sha256, []).append((root, path))
    return lost
