"""Lock a file while a process writes. The system releases the lock when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import BinaryIO

LOCKED_BYTE = 1 << 30  # far behind any text in the file, because Windows keeps others from reading locked bytes


class Locked(OSError):
    """Another process, or another part of this one, has locked the file."""

    def __init__(self) -> None:
        super().__init__(errno.EBUSY, "Another program is writing it")


class NoLocks(Exception):
    """The drive has no locks, as some network drives."""


def lock(file: BinaryIO) -> None:
    """Lock an open file, without waiting, until it is closed. Raises Locked or NoLocks."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise Locked from error
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Locked from error
    except OSError as error:
        if error.errno in {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise NoLocks from error
        raise


def is_at(file: BinaryIO, path: str | os.PathLike[str]) -> bool:
    """Whether an open file is still the one of this name. Its last owner may have removed it before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def remove_locked(file: BinaryIO, path: str | os.PathLike[str]) -> None:
    """Remove a file while it is locked, so that nobody else's lock can be removed."""
    if sys.platform == "win32":
        with suppress(OSError):  # of what is in its buffer
            file.close()  # Windows removes no open file, so not one that somebody else has opened either
    with suppress(OSError):
        os.unlink(path)
