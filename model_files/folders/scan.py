"""Find the model files below a folder, even while files come and go."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Hashable, Iterator

SKIPPED = frozenset((".git", ".cache"))  # the history of a repository; unfinished downloads of the Hugging Face tools
APPLE_DOUBLE = "._"  # macOS writes such a file beside each file on a disk of another format


def place(path: str) -> Hashable:
    """What identifies a folder: it is equal for two paths of one folder, however they are spelled or linked."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.normcase(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.normcase(path)


def model_files(folder: str, extensions: Collection[str], seen: set[Hashable]) -> Iterator[tuple[str, os.stat_result]]:
    """(name below the folder, status) of each model file. Links are followed; folders in `seen` are left out.

    Whatever cannot be read, or disappears during the walk, is skipped.
    """
    # Links come last, so that a file is named by its real place.
    folders, linked = [(folder, "")], deque[tuple[str, str]]()
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
                elif is_model(entry.name, extensions) and entry.is_file():
                    yield name, entry.stat()
            except OSError:  # gone, or a link that leads to itself
                continue


def is_model(name: str, extensions: Collection[str]) -> bool:
    """Whether a file of this name may be a model."""
    return os.path.splitext(name)[1].lower() in extensions and not name.startswith(APPLE_DOUBLE)


def modified(directory: str) -> int:
    """When something was last added to a directory or removed from it; -1 if the directory does not exist."""
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return -1


def entries(path: str) -> list[os.DirEntry[str]]:
    """The entries of a folder that can be read, sorted by name."""
    read: list[os.DirEntry[str]] = []
    try:
        with os.scandir(path) as found:
            for entry in found:  # one by one, to keep those that come before an error
                read.append(entry)
    except OSError:
        pass
    return sorted(read, key=lambda entry: entry.name)
