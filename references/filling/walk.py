"""Find the pictures and the saved features below a folder, with the size and the time of each."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

FEATURES = ".safetensors"
ENDINGS = frozenset((".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", FEATURES))

LATEST = 2**63 - 1  # the largest number of SQLite; as a time in nanoseconds it is in the year 2262

Entry = tuple[str, int, int]  # a path below a root, the size and the time of its file: (path, size, mtime_ns)


@dataclass(frozen=True)
class Walked:
    """What is below a folder.

    files: of each root. A folder that is a root itself is not part of a root above it
    unreadable: (path, why) of folders that could not be read; what is in them is not known
    """

    files: dict[Path, list[Entry]] = field(default_factory=dict[Path, list[Entry]])
    unreadable: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])


def walk(folder: Path, roots: Collection[Path]) -> Walked:
    """Look at everything below a folder. Names that begin with a dot are left out.

    Links are followed; a file that is reached by its real place and by a link is named by its place.

    roots: those that are known; files belong to the deepest one above them, or else to the folder

    Raises:
        ValueError: there is no such folder, or it cannot be read.
    """
    known, found = {str(root): root for root in roots}, Walked()
    root = root_above(folder, roots) or folder
    below = "" if root == folder else f"{folder.relative_to(root).as_posix()}/"
    seen = set[tuple[int, int]]()
    folders, links = [(str(folder), root, below)], deque[tuple[str, Path, str]]()
    while folders or links:
        path, root, below = folders.pop() if folders else links.popleft()
        if path in known:
            root, below = known[path], ""
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen and status.st_ino:
                continue
            seen.add((status.st_dev, status.st_ino))
            inside, linked = _read(path, below, found.files.setdefault(root, []))
        except OSError as error:
            found.unreadable.append((Path(path), error.strerror or str(error)))
            continue
        folders += [(each, root, f"{below}{os.path.basename(each)}/") for each in sorted(inside, reverse=True)]
        links += [(each, root, f"{below}{os.path.basename(each)}/") for each in sorted(linked)]
    if any(path == folder for path, _ in found.unreadable):
        raise ValueError(f"The folder {folder} is not there, or cannot be read: {found.unreadable[0][1]}.")
    return found


def _read(path: str, below: str, files: list[Entry]) -> tuple[list[str], list[str]]:
    """Add the files in a folder; return the paths of the folders in it, and those of the links to folders."""
    inside, linked = list[str](), list[str]()
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            try:
                if name[-4:] in ENDINGS or name[name.rfind(".") :].lower() in ENDINGS:  # most are found by the first
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode):
                        files.append((below + name, status.st_size, min(status.st_mtime_ns, LATEST)))
                        continue
                if entry.is_dir():
                    (linked if entry.is_symlink() else inside).append(entry.path)
            except OSError:  # gone meanwhile, or a link that leads nowhere
                continue
    return inside, linked


def root_above(path: Path, roots: Collection[Path]) -> Path | None:
    """The deepest of these that a path is, or is below; None if there is none."""
    above = [root for root in roots if path.is_relative_to(root)]
    return max(above, key=lambda root: len(root.parts), default=None)
