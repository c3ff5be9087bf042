"""Answer the command "duplicates": which pictures are the same file, the same picture, or similar. It changes none."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....model_files.folders import Installation
from ....references.library import Library, library_names
from ....tensor_files import printable
from ...terminal import Answer, ProgressLine, wrapped
from ..filling.embed import FAILED, failed_lines, fill_from
from ..places import all_libraries, library_folder

if TYPE_CHECKING:
    from ....references.duplicates import Group

SHOWN = 20  # groups of each kind; --json has all
TITLES = {"same file": "The same file", "same picture": "The same picture", "similar": "Similar"}


@dataclass(frozen=True)
class Alike:
    """Pictures of one group: which one to keep, the largest or else the first, and the others."""

    why: str
    kept: str
    others: tuple[str, ...]


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    if not -1 <= options.threshold <= 1:
        raise ValueError(f"--threshold is a cosine in -1..1, not {options.threshold:g}.")
    if not _is_folder(options.name, where):
        if options.encoder is not None:
            raise ValueError("--encoder is for a folder: the pictures of a library are embedded already.")
        with Library.open(library_folder(where, options.name)) as library:
            return _answer(library, options)
    with tempfile.TemporaryDirectory(prefix="image-prompt-") as place:
        folder = Path(place) / "pictures"
        filled = fill_from(options.name, folder, options.encoder, where)
        with Library.open(folder) as library:
            return _answer(library, options, filled.failed)


def _is_folder(name: str, where: Installation) -> bool:
    """Whether a folder is meant. A library of that name comes first: the folder beside it is ./NAME."""
    is_library = where.private is not None and name in library_names(all_libraries(where))
    return os.path.isdir(name) and not is_library


def _answer(library: Library, options: argparse.Namespace, failed: Sequence[tuple[Path, str]] = ()) -> Answer:
    groups = _groups(library, options.threshold)
    data = {
        "pictures": library.count,
        "threshold": options.threshold,
        "groups": [{"why": each.why, "kept": each.kept, "others": list(each.others)} for each in groups],
        "failed": [{"path": str(path), "reason": why} for path, why in failed],
    }
    lines = [line for why in TITLES for line in _lines(why, [each for each in groups if each.why == why], options)]
    return Answer(data, [*(lines or wrapped(_unlike(library.count))), *failed_lines(failed)], FAILED if failed else 0)


def _unlike(count: int) -> str:
    if count < 2:
        return "There is only one picture, and so none like it." if count else "There is no picture."
    return f"All {count:,} pictures are unlike each other."


def _groups(library: Library, threshold: float) -> list[Alike]:
    """Groups of each kind among the pictures that no closer kind has put aside."""
    from ....references.duplicates import same_file, same_picture, similar

    columns = ("root", "path", "sha256", "hash64", "width", "height", "mtime_ns")
    root, path, sha256, hashes, width, height, time = (library.column(name) for name in columns)
    names = path if len(library.roots) < 2 else [str(library.roots[a] / b) for a, b in zip(root, path, strict=True)]
    sizes = [a * b for a, b in zip(width, height, strict=True)]
    left, found = sorted(range(len(names)), key=time.__getitem__), list[Alike]()  # of equals the oldest is kept
    line = ProgressLine()

    def progress(done: int, total: int) -> None:
        line.show(f"Comparing: {done * 100 // total}%")

    def put_aside(find: Callable[[Any, list[Any]], list[Group]]) -> None:
        groups = find(left, [sizes[number] for number in left]) if left else []
        numbers = left.copy()
        for group in groups:
            others = tuple(names[numbers[each]] for each in group.others)
            found.append(Alike(group.why, names[numbers[group.kept]], others))
        gone = {numbers[each] for group in groups for each in group.others}
        left[:] = [number for number in numbers if number not in gone]

    def rows(numbers: list[int]) -> Any:
        return library.vectors()[numbers]

    try:
        put_aside(lambda some, size: same_file([sha256[each] for each in some], size))
        put_aside(
            lambda some, size: same_picture(rows(some), [hashes[each] for each in some], size, on_progress=progress)
        )
        put_aside(lambda some, size: similar(rows(some), threshold, size, chain=False, on_progress=progress))
    finally:
        line.clear()
    return found


def _lines(why: str, groups: Sequence[Alike], options: argparse.Namespace) -> list[str]:
    if not groups:
        return []
    limit = f", with a cosine above {options.threshold:g}" if why == "similar" else ""
    lines = [f"{TITLES[why]}{limit} ({len(groups)})"]
    for group in groups[:SHOWN]:
        lines.append(f"  {printable(group.kept)}")
        lines += [f"    {printable(other)}" for other in group.others]
    more = [f"  and {len(groups) - SHOWN} more groups"] if len(groups) > SHOWN else []
    return [*lines, *more, ""]
