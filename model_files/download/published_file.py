"""Fetch a file of the catalogue into a model folder. Only the command `get` does this."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from ..catalogue import Entry
from .addresses import DownloadError, check_address
from .fetch import Downloaded, Fetch, Manner
from .partial_download import CHUNK, BusyError, Part, remove_left_over

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def download(
    entry: Entry,
    folder: str | os.PathLike[str],
    *,
    allow_unverified: bool = False,
    offline: bool = False,
    manner: Manner | None = None,
) -> Downloaded:
    """Put the file of an entry into `folder` under its catalogue name, whole and checked, or not at all.

    What an interrupted download has brought stays beside it as `NAME.part`, and the next call continues with it.

    Raises:
        DownloadError: the download failed; the text says why, and what to do.
    """
    target = Path(folder) / file_name(entry)
    if os.path.lexists(target):
        remove_left_over(target)
        return _already_there(entry, target)
    check_request(entry, target, allow_unverified, offline)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Part(target) as part:
            if os.path.lexists(target):  # another process has just finished it
                return _already_there(entry, target)
            return Fetch(entry, part, manner or Manner()).run()
    except BusyError:
        raise DownloadError(f"Another process is downloading {target} right now: wait until it has finished.") from None
    except OSError as error:
        raise DownloadError(
            f"{target} cannot be written: {error.strerror or error}. Check that its folder may be written to and that "
            "the disk has room, then run the same command again."
        ) from error


def file_name(entry: Entry) -> str:
    """The name that a download gets, which must be a plain file name on every system.

    Raises:
        DownloadError: the catalogue gives a path, or a name that some system reserves.
    """
    name = entry.files[0] if entry.files else ""
    plain = re.fullmatch(r"[^\x00-\x1f\x7f/\\:*?\"<>|]{1,200}", name) and name == name.strip(" .")
    if not plain or name.split(".")[0].rstrip().lower() in RESERVED:
        raise DownloadError(f"The catalogue names the file of {entry.id!r} {name!r}, which is not a plain file name.")
    return name


def check_request(entry: Entry, target: Path, allow_unverified: bool, offline: bool) -> None:
    """Check whether an entry may be fetched. DownloadError when offline, without a link, or without a SHA-256."""
    by_hand = f"By hand: get it from {entry.url or entry.page} and put it here: {target}"
    if offline:
        raise DownloadError(f"Offline: {entry.id} was not fetched. {by_hand}")
    if not entry.url:
        raise DownloadError(f"No direct link to {entry.id} is known. {by_hand}")
    check_address(entry.url, entry.url)
    if not entry.sha256 and not allow_unverified:
        raise DownloadError(
            f"No SHA-256 of {entry.id} is known, so the download cannot be checked. Allow that with --allow-unverified "
            f"if you trust {entry.url}"
        )


def _already_there(entry: Entry, target: Path) -> Downloaded:
    """The result if the target is that file already. DownloadError if another file is there, which is kept."""
    if not os.path.isfile(target):
        raise DownloadError(f"{target} is there already and is not a regular file: rename or remove it first.")
    try:
        found = _sha256(target)
        size = target.stat().st_size
    except OSError as error:
        raise DownloadError(f"{target} is there already and cannot be read: {error.strerror or error}.") from error
    if found == entry.sha256.lower():
        return Downloaded(target, size, found, 0)
    difference = f"not {entry.sha256}" if entry.sha256 else "and no SHA-256 is known to compare it with"
    raise DownloadError(
        f"{target} is there already and is kept: its SHA-256 is {found}, {difference}. To download it again, "
        "rename or remove that file first."
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
