"""List the files of model folders under the names that ComfyUI gives them, however links lead.

ComfyUI's own walk follows every link. Where links lead in a circle, it takes hours.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from .scan import entries, modified, place

SKIPPED = ".git"
WAYS = 16  # how often one folder is visited over different links


@dataclass(frozen=True)
class Listing:
    names: tuple[str, ...]  # relative to their folders, with the system's separator
    folders: tuple[str, ...]
    extensions: frozenset[str]  # empty: any
    directories: dict[str, int]  # when something was last added to or removed from each

    @classmethod
    def of(cls, folders: Sequence[str], extensions: Collection[str]) -> Listing:
        names: set[str] = set()
        directories: dict[str, int] = {}
        for folder in folders:
            names.update(_walk(folder, directories))
        listed = (name for name in names if not extensions or os.path.splitext(name)[1].lower() in extensions)
        return cls(tuple(sorted(listed)), tuple(folders), frozenset(extensions), directories)

    def is_current(self, folders: Sequence[str], extensions: Collection[str]) -> bool:
        return (
            self.folders == tuple(folders)
            and self.extensions == frozenset(extensions)
            and all(modified(path) == time for path, time in self.directories.items())
        )


def _walk(folder: str, directories: dict[str, int]) -> set[str]:
    """The names of everything but folders. A folder is not entered again from within itself."""
    names: set[str] = set()
    visits: Counter[Hashable] = Counter()
    waiting = deque([(folder, "", frozenset[Hashable]())])
    while waiting:
        path, prefix, above = waiting.popleft()
        here = place(path)
        if here in above or visits[here] == WAYS:
            continue
        visits[here] += 1
        directories[path] = modified(path)
        for entry in entries(path):
            if not _is_folder(entry):
                names.add(prefix + entry.name)
            elif entry.name != SKIPPED:
                below = (entry.path, f"{prefix}{entry.name}{os.sep}", above | {here})
                (waiting.append if entry.is_symlink() else waiting.appendleft)(below)  # links last
    return names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
