"""Replace a file so that a kill or a power cut leaves the old one or the new one, on the disk and whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PART = ".part"  # after the name of a file that is being written; one writer has a library, so one name is enough


def write_whole(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file under another name, and give it its own when it is on the disk."""
    part = path.with_name(f"{path.name}{PART}")
    try:
        with open(part, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk. Windows does so itself."""
    if sys.platform == "win32":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
