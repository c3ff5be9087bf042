"""The folder of an export. Standard library only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ...tensor_files import printable

PART, OLD = ".part", ".replaced"  # after the name of a folder that is being written, and of one that is replaced


def fill_folder(
    folder: str | os.PathLike[str], files: tuple[str, ...], fill: Callable[[Path], None], force: bool
) -> Path:
    """Write files into a folder that appears when all of them are on the disk.

    fill: writes them into the folder that it is given
    force: whether to replace an earlier export

    Raises:
        ValueError: the folder is there already, or holds something else than these files, or cannot be written; what
            was there before is kept.
    """
    folder = Path(os.path.abspath(folder))
    try:
        return _filled(folder, files, fill, force)
    except OSError as error:
        raise ValueError(
            f"The export {printable(str(folder))} could not be written: {error.strerror or error}. What was there "
            "before is kept. Check that its folder may be written to and that the disk has room."
        ) from error


def _filled(folder: Path, files: tuple[str, ...], fill: Callable[[Path], None], force: bool) -> Path:
    _put_back(folder, files)
    _check(folder, files, force)
    part = folder.with_name(f"{folder.name}{PART}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove(part, files)  # a killed export left it
        part.mkdir()
    except OSError as error:
        raise ValueError(
            f"The folder {printable(str(folder))} cannot be made: {error.strerror or error}. Give another one, in a "
            "folder that may be written to."
        ) from error
    try:
        fill(part)
        for name in files:
            _sync(part / name)
        _put(part, folder, files)
    except BaseException:
        _remove(part, files)
        raise
    return folder


def _check(folder: Path, files: tuple[str, ...], force: bool) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    shown = printable(str(folder))
    if not folder.is_dir() or folder.is_symlink():
        raise ValueError(f"{shown} is no folder: give a new folder for the export.")
    inside = sorted(entry.name for entry in os.scandir(folder))
    if inside and (others := [name for name in inside if name not in files]):
        raise ValueError(
            f"{shown} holds other files, such as {printable(others[0], 100)}, and an export is a folder of its own: "
            "give a new one."
        )
    if inside and not force:
        raise ValueError(f"{shown} holds an export already: give a new folder, or --force to replace it.")


def _put(part: Path, folder: Path, files: tuple[str, ...]) -> None:
    if not folder.exists():
        os.rename(part, folder)
        return
    old = folder.with_name(f"{folder.name}{OLD}")
    _remove(old, files)
    os.rename(folder, old)
    try:
        os.rename(part, folder)
    except OSError:
        os.rename(old, folder)
        raise
    _remove(old, files)


def _put_back(folder: Path, files: tuple[str, ...]) -> None:
    """Finish what a killed export has begun with the one that it was to replace."""
    old = folder.with_name(f"{folder.name}{OLD}")
    if folder.exists():
        _remove(old, files)
    elif old.exists():
        os.rename(old, folder)


def _remove(folder: Path, files: tuple[str, ...]) -> None:
    """Remove a folder of ours. ValueError if something else is in it."""
    if not folder.exists():
        return
    if others := [entry.name for entry in os.scandir(folder) if entry.name not in files]:
        raise ValueError(f"{printable(str(folder))} holds {printable(others[0], 100)}, and is in the way: move it.")
    shutil.rmtree(folder)


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
