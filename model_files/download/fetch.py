"""Fetch one file, with several tries, until the partial download is complete or another try cannot help."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..catalogue import Entry
from .addresses import DownloadError
from .partial_download import Part, Version
from .transfer import Interrupted, StalePartError, ask, chunks, length, validator

LONGEST_PAUSE = 30  # seconds between two tries
PROGRESS = 1 << 20  # bytes after which a try counts as a success although the connection was cut
NOTHING = Version("", "")
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Manner:
    """How a download is done, and what is called while it goes on."""

    progress: Callable[[int, int], None] = lambda done, total: None  # bytes
    notice: Callable[[str], None] = lambda text: None
    timeout: float = 30  # seconds without a byte
    tries: int = 5  # in a row that brought little or nothing
    pause: float = 1  # seconds before the second try, and twice as many before each further one


@dataclass(frozen=True)
class Downloaded:
    path: Path
    size: int
    sha256: str
    fetched: int  # bytes; 0 if the whole file was there already


class Fetch:
    """The download of one entry of the catalogue into its part."""

    def __init__(self, entry: Entry, part: Part, manner: Manner) -> None:
        self.entry = entry
        self.part = part
        self.manner = manner
        self.total = entry.size
        self.fetched = 0

    def run(self) -> Downloaded:
        """Fetch what is missing, check the file and put it in place.

        Raises:
            DownloadError: the download failed; the text says why, and what to do.
            OSError: the disk failed.
        """
        self.take_up()
        try:
            self.fetch_all()
            self.check()
            size = self.part.size
            self.part.finish()
        except OSError as error:
            raise self.full(error) if error.errno in FULL else error
        return Downloaded(self.part.target, size, self.part.sha256, self.fetched)

    def take_up(self) -> None:
        """Continue with the bytes of an earlier run, if it is known that they begin this file."""
        part, entry = self.part, self.entry
        if part.size and not part.version.url:
            raise DownloadError(f"{part.path} is not known to be part of this download. Rename or remove it first.")
        known = part.version.url == entry.url and (part.version.validator or entry.sha256)
        if not known:
            part.restart(NOTHING)
        if part.size:
            self.manner.notice(f"Continuing: {part.size:,} bytes are here already.")
            part.take_up()

    def fetch_all(self) -> None:
        fruitless = 0
        while self.part.size != self.total:
            before = self.part.size
            try:
                return self.fetch_rest()
            except StalePartError as error:
                if error.size == before:
                    return
                self.part.restart(NOTHING)
                reason = error
            except Interrupted as error:
                reason = error
            fruitless = 0 if self.part.size - before >= PROGRESS else fruitless + 1
            self.wait(reason, fruitless)

    def fetch_rest(self) -> None:
        """Fetch what is missing in one request. Interrupted if another try may bring more."""
        with ask(self.entry, self.part, self.manner.timeout) as answer:
            here = self.part.size if answer.status == 206 else 0
            self.total = total = self.checked_total(here, length(answer))
            self.check_room(total - self.part.size)  # the bytes here are kept, or make room
            if not here:
                self.part.restart(Version(self.entry.url, validator(answer)))
            for chunk in chunks(answer):
                self.write(chunk, total)
        if self.part.size < total:
            raise Interrupted("The connection was cut")

    def write(self, chunk: bytes, total: int) -> None:
        if self.part.size + len(chunk) > total:
            self.part.restart(NOTHING)
            raise DownloadError(f"The server sends more than the {total:,} bytes of {self.entry.id}. {self.look()}")
        self.part.write(chunk)
        self.fetched += len(chunk)
        self.manner.progress(self.part.size, total)

    def wait(self, error: Interrupted, fruitless: int) -> None:
        if fruitless >= self.manner.tries:
            size = self.part.size
            advice = f"{size:,} bytes are kept: run the same command again to continue." if size else "Try it later."
            raise DownloadError(f"{error}, {fruitless} times in a row. {advice}")
        pause = error.pause or min(self.manner.pause * 2 ** max(fruitless - 1, 0), LONGEST_PAUSE)
        self.manner.notice(f"{error}. Trying again in {pause:g} s.")
        time.sleep(pause)

    # ----------------------------------------------------------------------------------------------------------- checks

    def checked_total(self, here: int, rest: int | None) -> int:
        total = self.entry.size if rest is None else here + rest
        if total is None:
            raise DownloadError(
                f"Neither the server nor the catalogue says how large {self.entry.id} is. {self.look()}"
            )
        if self.entry.size not in (None, total):
            raise DownloadError(
                f"The server has a file of {total:,} bytes, but the catalogue lists {self.entry.id} with "
                f"{self.entry.size:,}: it was replaced, or is another file. Nothing was fetched. {self.look()}"
            )
        return total

    def check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.part.target.parent).free
        if free < needed:
            raise DownloadError(
                f"{self.part.target.parent} has {free:,} bytes free, {needed:,} are needed: {needed - free:,} too few. "
                "Make room, then run the same command again to continue."
            )

    def check(self) -> None:
        """Check that what arrived is the file of the catalogue, and remove it if it is not."""
        found, wanted = self.part.sha256, self.entry.sha256.lower()
        if self.part.size == (self.entry.size or self.part.size) and found == (wanted or found):
            return
        size = self.part.size
        self.part.restart(NOTHING)
        raise DownloadError(
            f"What arrived is not {self.entry.id}: {size:,} bytes with SHA-256 {found}, expected {wanted}. It was "
            f"removed. Run the same command again; if the result is the same, the file was replaced. {self.look()}"
        )

    def full(self, error: OSError) -> DownloadError:
        size, total = self.part.size, self.total or self.part.size
        return DownloadError(
            f"The disk is full ({error.strerror}): {size:,} of {total:,} bytes are here, {total - size:,} are missing. "
            f"They are kept as {self.part.path.name}: make room, then run the same command again to continue."
        )

    def look(self) -> str:
        return f"Look at {self.entry.page or self.entry.url}"
