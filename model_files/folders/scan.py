"""The model files below a folder, whatever happens to it meanwhile."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Hashable, Iterator

SKIPPED = frozenset((".git", ".cache"))  # a repository's history; unfinished downloads of the Hugging Face tools
APPLE_DOUBLE = "._"  # macOS writes such a file beside each one on a foreign disk


def place(path: str) -> Hashable:
    """Equal for two paths of one folder, however they are spelled or linked."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.normcase(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.normcase(path)


def model_files(folder: str, extensions: Collection[str], seen: set[Hashable]) -> Iterator[tuple[str, os.stat_result]]:
    """(name below the folder, status) of each file. Links are followed; folders that were `seen` are left out.

    What cannot be read, or goes away during the walk, is passed over.
    """
    folders, linked = [(folder, "")], deque[tuple[str, str]]()  # links last: a file is named by where it really lies
    while folders or linked:
        path, prefix = folders.pop() if folders else linked.popleft()
        if (here := place(path)) in seen:
            continue
        seen.add(here)
        for entry in entries(path):
            name = prefix + entry.name
            try:
                if entry.is_dir():
                    if entry.name not in SKIPPED:
                        (linked if entry.is_symlink() else folders).append((entry.path, f"{name}/"))
                elif _is_model(entry.name, extensions) and entry.is_file():
                    yield name, entry.stat()
            except OSError:  # gone, or a link that leads to itself
                continue


def _is_model(name: str, extensions: Collection[str]) -> bool:
    return os.path.splitext(name)[1].lower() in extensions and not name.startswith(APPLE_DOUBLE)


def modified(directory: str) -> int:
    """When something in it was added or removed; -1 where there is none."""
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return -1


def entries(path: str) -> list[os.DirEntry[str]]:
    """Of a folder, by name; those that can be read."""
    read: list[os.DirEntry[str]] = []
    try:
        with os.scandir(path) as found:
            for entry in found:  # one by one, to keep those before an error
                read.append(entry)
    except OSError:
        pass
    return sorted(read, key=lambda entry: entry.name)
