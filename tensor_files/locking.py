"""Lock a file while a process writes. The system releases the lock when the process ends, however it ends."""

from __future__ import annotations

import sys
from typing import BinaryIO

LOCKED_BYTE = 1 << 30  # far behind any text in the file, because Windows keeps others from reading locked bytes


class Locked(Exception):
    """Another process, or another part of this one, has locked the file."""


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
    import errno
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Locked from error
    except OSError as error:
        if error.errno in {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise NoLocks from error
        raise
