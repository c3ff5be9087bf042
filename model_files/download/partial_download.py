"""Keep an unfinished download as `NAME.part` beside its target, and what is known about it in `NAME.part.info`.

The info file says to which version of which file the part belongs. Whoever writes locks it: the system releases the
lock when a process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...tensor_files.locking import Locked, NoLocks, is_at, lock, remove_locked
from ...tensor_files.whole_files import sync_folder

CHUNK = 1 << 20
INFO_BYTES = 8192


class Version(NamedTuple):
    """Which version of which file a part belongs to.

    validator: what the server says of the version: a strong ETag, a Last-Modified date, or nothing
    """

    url: str
    validator: str


class BusyError(Exception):
    """Another process or another thread is writing the part."""


class Part:
    """An unfinished download, locked while it is open as a context manager."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = _part_path(target)
        self.size = 0
        self.version = Version("", "")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Part:
        self._info = _open_locked(_info_path(self.target))
        try:
            self._file = _open_plain(self.path)
        except BaseException:
            self._info.close()
            raise
        self.size = os.fstat(self._file.fileno()).st_size
        self.version = _read_version(self._info)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what a later run can continue with, and nothing else."""
        self._file.close()
        if not self.size:
            with contextlib.suppress(OSError):
                self.path.unlink()
        if not (self.size and self.version.url):
            remove_locked(self._info, self._info.name)
        self._info.close()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def take_up(self) -> None:
        """Read what an earlier run left, because the hash covers the whole file."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._digest.update(chunk)

    def restart(self, version: Version) -> None:
        """Empty the part, for the bytes of this version."""
        self._file.truncate(0)
        self.size, self.version, self._digest = 0, version, hashlib.sha256()
        self._info.truncate(0)
        self._info.write("\n".join(version).encode())
        self._info.flush()

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = self._file.write(view)
            self._digest.update(view[:count])
            self.size += count
            view = view[count:]

    def finish(self) -> None:
        """Turn the part into the target, in one step."""
        os.fsync(self._file.fileno())
        self._file.close()
        if os.path.lexists(self.target):
            raise FileExistsError(f"{self.target} has appeared in the meantime")
        os.replace(self.path, self.target)
        sync_folder(self.target.parent)
        self.size = 0


def remove_left_over(target: Path) -> None:
    """Remove what was known about a download that was killed when it was complete."""
    path = _info_path(target)
    if path.exists() and not os.path.lexists(_part_path(target)):
        with contextlib.suppress(BusyError, OSError), _open_locked(path) as info:
            remove_locked(info, path)


def _part_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _info_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.info")


def _open_plain(path: Path) -> FileIO:
    """Open for reading and appending, without a buffer, so that a crash loses nothing that was written."""
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileExistsError(f"{path} is not a regular file: remove it")
    return open(path, "a+b", buffering=0)


def _read_version(info: BinaryIO) -> Version:
    info.seek(0)
    lines = info.read(INFO_BYTES).decode(errors="replace").split("\n")
    return Version(*lines) if len(lines) == len(Version._fields) else Version("", "")


# --------------------------------------------------------------------------------------------------------------- lock


def _open_locked(path: Path) -> BinaryIO:
    """Open and lock a file. BusyError if somebody else has locked it."""
    while True:
        file = open(path, "a+b")
        try:
            _lock(file)
            if is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its last owner removed it after we opened it and before we locked it


def _lock(file: BinaryIO) -> None:
    with contextlib.suppress(NoLocks):  # some network drives: two programs may then fetch one file at once
        try:
            lock(file)
        except Locked as error:
            raise BusyError from error
