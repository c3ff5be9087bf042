"""Write files whole or not at all: neither a full disk nor a kill nor a power cut leaves a part of one at its name.

A file that is being written is called NAME.unfinished, and is locked by its writer. The system releases the lock when
a process ends, however it ends, so the next writer of the name removes what a killed one has left. Standard library
only.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import BinaryIO

from .locking import Locked, NoLocks, is_at, lock, remove_locked
from .printable_text import printable

UNFINISHED = ".unfinished"
LEFT_OVER_SECONDS = 3600.0  # on a drive without locks: what was not written to for so long was left by a killed process
AGAIN_SECONDS = 0.02  # between two looks whether another writer is done
NO_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}  # of drives that sync no folders

Path = str | os.PathLike[str]


class NameTaken(ValueError):
    """A file of this name is there already, or is being written."""


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file that gets its name when it is complete.

    Raises:
        NameTaken: nothing is overwritten, and two processes never write one name at the same time.
        ValueError: the folder is not there, or may not be written to, or the disk is full.
    """
    path = os.fspath(path)
    name = printable(os.path.basename(path))
    try:
        if os.path.lexists(path):
            with suppress(OSError):  # somebody writes it, or it may not be removed
                remove_left_over(path)
            raise _taken(name)
        with _begun(path) as file:
            yield file
            _sync(file)
            _take_name(file, path)
        sync_folder(os.path.dirname(path) or os.curdir)
    except Locked:
        raise NameTaken(
            f"{name} is being written by another program: wait until it is there, or choose another name."
        ) from None
    except FileExistsError:
        raise _taken(name) from None
    except OSError as error:
        raise not_written(path, error) from error


@contextmanager
def replaced_file(path: Path, patience: float = 0.0) -> Generator[BinaryIO]:
    """A file that takes the place of the one of its name, if there is one, when it is complete.

    What is read of the old one meanwhile does not change: there is one writer.

    patience: seconds to wait for another writer

    Raises:
        Locked: another process, or another part of this one, writes it.
        OSError: it cannot be written, and the old one is as it was.
    """
    path = os.fspath(path)
    with _begun(path, patience) as file:
        yield file
        _sync(file)
        _close_on_windows(file)
        os.replace(unfinished(path), path)
    sync_folder(os.path.dirname(path) or os.curdir)


def write_whole(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file, or replace it, from its pieces. Raises as `replaced_file`."""
    with replaced_file(path) as file:
        for piece in pieces:
            file.write(piece)


def not_written(path: Path, error: OSError) -> ValueError:
    """What to say where a file could not be written."""
    return ValueError(
        f"{printable(os.path.basename(path))} could not be written: {error.strerror or error}. Check that its folder "
        "is there and may be written to, and that the disk has room."
    )


def unfinished(path: Path) -> str:
    """The name of a file that is being written."""
    return f"{os.fspath(path)}{UNFINISHED}"


def remove_left_over(path: Path) -> None:
    """Remove what a killed process has left of a file, if there is something.

    Raises:
        Locked: it is being written.
        OSError: it cannot be looked at.
    """
    part = unfinished(path)
    try:
        file = open(part, "r+b")
    except FileNotFoundError:
        return
    with file:
        try:
            lock(file)
        except NoLocks:
            if time.time() - os.fstat(file.fileno()).st_mtime < LEFT_OVER_SECONDS:
                raise Locked from None
        if is_at(file, part):
            remove_locked(file, part)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk. Windows does so itself."""
    if sys.platform == "win32":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in NO_FOLDERS:
            raise
    finally:
        os.close(opened)


@contextmanager
def _begun(path: str, patience: float = 0.0) -> Generator[BinaryIO]:
    file = _begin(path, patience)
    try:
        yield file
    except BaseException:
        remove_locked(file, unfinished(path))
        with suppress(OSError):  # of what is in its buffer
            file.close()
        raise
    file.close()


def _begin(path: str, patience: float) -> BinaryIO:
    end = time.monotonic() + patience
    while True:
        try:
            return _begin_now(path)
        except Locked:
            if time.monotonic() >= end:
                raise
            time.sleep(AGAIN_SECONDS)


def _begin_now(path: str) -> BinaryIO:
    """What was left over is never written into: it may be a second name of the complete file."""
    remove_left_over(path)
    part = unfinished(path)
    try:
        file = open(part, "xb")
    except FileExistsError:  # of another process, meanwhile
        raise Locked from None
    try:
        with suppress(NoLocks):
            lock(file)
        if not is_at(file, part):  # another process has taken it for left over, before it was locked
            raise Locked
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _close_on_windows(file: BinaryIO) -> None:
    """Windows renames no open file."""
    if sys.platform == "win32":
        file.close()


def _take_name(file: BinaryIO, path: str) -> None:
    """Give a complete file its name. `rename` would replace one that has come there meanwhile, not `link`."""
    part = unfinished(path)
    _close_on_windows(file)
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # the file system has no links
        if os.path.lexists(path):
            raise FileExistsError from None
        os.rename(part, path)
    else:
        with suppress(OSError):  # the next writer of the name removes it
            os.unlink(part)


def _taken(name: str) -> NameTaken:
    return NameTaken(f"There is a file {name} already, and nothing is overwritten: choose another name.")
