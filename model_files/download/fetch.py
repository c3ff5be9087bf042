"""Try until the part is the whole file, or until it is clear that it will not be."""

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
PROGRESS = 1 << 20  # bytes that make a try a success, though the connection was cut
NOTHING = Version("", "")
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Manner:
    """How a download is done, and who hears of it."""

    progress: Callable[[int, int], None] = lambda done, total: None  # bytes
    notice: Callable[[str], None] = lambda text: None
    timeout: float = 30  # seconds without a byte
    tries: int = 5  # in a row that came to nothing
    pause: float = 1  # seconds before the second try, and twice as many before each further one


@dataclass(frozen=True)
class Downloaded:
    path: Path
    size: int
    sha256: str
    fetched: int  # bytes; 0: all of it was there already


class Fetch:
    """One entry of the catalogue and the part of it that is here."""

    def __init__(self, entry: Entry, part: Part, manner: Manner) -> None:
        self.entry = entry
        self.part = part
        self.manner = manner
        self.total = entry.size
        self.fetched = 0

    def run(self) -> Downloaded:
        """Raises DownloadError, or OSError where the disk failed."""
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
        """Go on with what is here, if it can be told to be the beginning of this file."""
        part, entry = self.part, self.entry
        if part.size and not part.version.url:
            raise DownloadError(f"{part.path} is not from here: nothing is known about it. Rename or remove it first.")
        known = part.version.url == entry.url and (part.version.validator or entry.sha256)
        if not known:
            part.restart(NOTHING)
        if part.size:
            self.manner.notice(f"Going on: {part.size:,} bytes are here already.")
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
        """Raises Interrupted where another try may bring more."""
        with ask(self.entry, self.part, self.manner.timeout) as answer:
            here = self.part.size if answer.status == 206 else 0
            self.total = total = self.checked_total(here, length(answer))
            self.check_room(total - self.part.size)  # what is here goes, or is part of it
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
            advice = f"{size:,} bytes are kept: the same command goes on." if size else "Try it later."
            raise DownloadError(f"{error}, {fruitless} times in a row. {advice}")
        pause = error.pause or min(self.manner.pause * 2 ** max(fruitless - 1, 0), LONGEST_PAUSE)
        self.manner.notice(f"{error}. Trying again in {pause:g} s.")
        time.sleep(pause)

    # ----------------------------------------------------------------------------------------------------------- checks

    def checked_total(self, here: int, rest: int | None) -> int:
        total = self.entry.size if rest is None else here + rest
        if total is None:
            raise DownloadError(f"Neither server nor catalogue say how large {self.entry.id} is. {self.look()}")
        if self.entry.size not in (None, total):
            raise DownloadError(
                f"The server has a file of {total:,} bytes, the catalogue knows {self.entry.id} with "
                f"{self.entry.size:,}: it was replaced, or is another file. Nothing was fetched. {self.look()}"
            )
        return total

    def check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.part.target.parent).free
        if free < needed:
            raise DownloadError(
                f"{self.part.target.parent} has {free:,} bytes free, {needed:,} are needed: {needed - free:,} too few. "
                "Make room, and the same command goes on."
            )

    def check(self) -> None:
        """What arrived is the file of the catalogue; if not, it goes."""
        found, wanted = self.part.sha256, self.entry.sha256.lower()
        if self.part.size == (self.entry.size or self.part.size) and found == (wanted or found):
            return
        size = self.part.size
        self.part.restart(NOTHING)
        raise DownloadError(
            f"What arrived is not {self.entry.id}: {size:,} bytes of SHA-256 {found}, expected is {wanted}. It was "
            f"removed. Run the same command once more; if that ends likewise, the file was replaced. {self.look()}"
        )

    def full(self, error: OSError) -> DownloadError:
        size, total = self.part.size, self.total or self.part.size
        return DownloadError(
            f"The disk is full ({error.strerror}): {size:,} of {total:,} bytes are here, {total - size:,} are missing. "
            f"They are kept as {self.part.path.name}: make room, and the same command goes on."
        )

    def look(self) -> str:
        return f"Look at {self.entry.page or self.entry.url}"
