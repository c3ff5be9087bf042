"""Let one process write a library. The system releases its lock when it ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ...tensor_files import printable
from ...tensor_files.locking import Locked, NoLocks, lock
from .about import shown

LOCK = "writer.lock"  # it stays, with the id of the last process that wrote


class NotWritten(ValueError):
    """The library could not be written: the folder may not be, the disk is full, or somebody else is writing."""


class BeingWritten(NotWritten):
    """Somebody else is writing the library."""


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Raises BeingWritten if somebody else is writing, and NotWritten if nobody can say so."""
    with open(folder / LOCK, "a+b") as file:
        try:
            lock(file)
        except Locked:
            file.seek(0)
            who = printable(file.read(20).decode(errors="replace").strip()) or "unknown"
            raise BeingWritten(
                f'The library "{shown(folder)}" is being written by another program (process {who}). Wait until it is '
                "done, or end it."
            ) from None
        except NoLocks:
            raise NotWritten(
                f'The library "{shown(folder)}" is on a drive without locks, where two programs could write at once. '
                "Keep it on a disk of this machine."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield
