"""Where the pictures, the plan with its parts, and the library are on this machine."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ...tensor_files.whole_files import UNFINISHED, sync_folder, write_whole
from ..library.writer_lock import NotWritten
from .plan import DIGITS, Plan

PLAN = "plan.json"
MARK = "bulk.txt"  # in a library: the digest of the plan whose parts it is waiting for
DRAFT = "draft-"  # before the name of a file that is being written
PART = re.compile(rf"part-[0-9a-f]{{{DIGITS}}}-\d{{5,}}\.safetensors")
DRAFTS = re.compile(rf"{DRAFT}.+-(?:{PART.pattern}|{re.escape(PLAN)})(?:{re.escape(UNFINISHED)})?")


@dataclass(frozen=True)
class Place:
    """
    source: the folder of the pictures
    parts: the folder of the plan and its parts, which all machines share
    library: its folder; None where it is on another machine
    """

    source: Path
    parts: Path
    library: Path | None = None

    # ----------------------------------------------------------------------------------------------------------- plan

    def read_plan(self) -> Plan | None:
        """None if there is none. ValueError if it cannot be used."""
        try:
            return Plan.from_bytes((self.parts / PLAN).read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValueError(f"The plan in {self.parts} cannot be read: {error.strerror or error}.") from error
        except ValueError as error:
            raise ValueError(f"The {PLAN} in {self.parts} {error}. To drop it, delete that folder.") from error

    def write_plan(self, plan: Plan) -> bool:
        """Whether it was written: the first one stays. It is there whole or not at all."""
        with self._explained():
            self.parts.mkdir(parents=True, exist_ok=True)
            draft = self._draft(PLAN)
            try:
                write_whole(draft, [plan.to_bytes()])
                return _named_first(draft, self.parts / PLAN)
            finally:
                draft.unlink(missing_ok=True)

    @property
    def has_plan(self) -> bool:
        """The plan goes when its parts are collected."""
        return (self.parts / PLAN).exists()

    # ---------------------------------------------------------------------------------------------------------- parts

    def part(self, plan: Plan, number: int) -> Path:
        return self.parts / f"part-{plan.digest}-{number:05}.safetensors"

    def missing(self, plan: Plan) -> list[int]:
        """The numbers of the shards whose parts are not there."""
        try:
            there = set(os.listdir(self.parts))
        except FileNotFoundError:
            there = set[str]()
        return [number for number in range(plan.shards) if self.part(plan, number).name not in there]

    def write_part(self, plan: Plan, number: int, data: bytes) -> None:
        with self._explained():
            path = self.part(plan, number)
            draft = self._draft(path.name)
            try:
                write_whole(draft, [data])
                os.replace(draft, path)
                sync_folder(self.parts)
            except FileNotFoundError:
                if self.has_plan:
                    raise
                return  # the parts were collected meanwhile, and this one is of no use any more
            finally:
                draft.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the plan, and then all else."""
        with self._explained():
            (self.parts / PLAN).unlink(missing_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Remove all parts: without a plan they are what a kill has left."""
        with self._explained():
            self._remove(PART)
            self._remove(DRAFTS)
            self.unmark()
            with suppress(OSError):  # somebody keeps something else in it
                self.parts.rmdir()

    def remove_others(self, plan: Plan) -> None:
        """Remove parts of earlier plans, which a kill has left."""
        with self._explained():
            self._remove(PART, keep=f"part-{plan.digest}-")

    def _remove(self, pattern: re.Pattern[str], keep: str | None = None) -> None:
        """keep: the begin of the names of those that stay"""
        names = os.listdir(self.parts) if self.parts.is_dir() else list[str]()
        for name in names:
            if pattern.fullmatch(name) and (keep is None or not name.startswith(keep)):
                (self.parts / name).unlink(missing_ok=True)

    # ----------------------------------------------------------------------------------------------------------- mark

    def mark(self, plan: Plan) -> None:
        """Keep in the library that it waits for the parts of a plan, which has only what this library lacks."""
        if self.library:
            with self._explained(self.library):
                write_whole(self.library / MARK, [plan.digest.encode()])

    def unmark(self) -> None:
        if self.library:
            (self.library / MARK).unlink(missing_ok=True)

    def waits_for(self, plan: Plan) -> bool:
        """Whether the library of this machine is the one that the plan was made for."""
        try:
            return self.library is not None and (self.library / MARK).read_text() == plan.digest
        except (OSError, ValueError):
            return False

    def _draft(self, name: str) -> Path:
        """A file that no other process writes, also none of another machine."""
        return self.parts / f"{DRAFT}{socket.gethostname()}-{os.getpid()}-{name}"

    @contextmanager
    def _explained(self, folder: Path | None = None) -> Generator[None]:
        """folder: that is written to; by default that of the parts"""
        try:
            yield
        except OSError as error:
            raise NotWritten(
                f"{folder or self.parts} could not be written: {error.strerror or error}. What is in it stays. Check "
                "that it may be written to and that the disk has room, then do the same again: it goes on from here."
            ) from error


def _named_first(draft: Path, path: Path) -> bool:
    """Give a file its name if no other has it, and say whether."""
    try:
        os.link(draft, path)  # the one call that does not replace what is there
    except FileExistsError:
        return False
    except OSError:  # a drive without links; here the lock of the library has to do
        if path.exists():
            return False
        os.replace(draft, path)
    sync_folder(path.parent)
    return True
