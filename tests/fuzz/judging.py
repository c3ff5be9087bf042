"""Run a reader on an input and judge what it does: a finding is whatever no reader of foreign files may do."""

import os
import signal
import sys
import types
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from opcode import opmap
from pathlib import Path
from typing import Any

from target import Target

from image_prompt.devtools.stages import ROOT

LONGEST = 4000  # characters of a message
SECONDS = 10  # of the processor for one input
WRITING = os.O_WRONLY | os.O_RDWR
PACK = f"{ROOT}{os.sep}"
RUNS_SOMETHING = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.Popen",
    "pickle.",
    "socket.",
)
CHANGES_FILES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.")


class Finding(Exception):
    """A reader did what it must not do."""


@dataclass
class _Watched:
    """What the process does while a reader reads. folder: the only one that it may write to; None: nobody watches"""

    folder: str | None = None
    deeds: list[str] = field(default_factory=list[str])


_watched = _Watched()


def judge(target: Target, data: bytes, folder: Path) -> None:
    """Read an input. Raises a Finding, or whatever the reader raises beside its own errors.

    folder: without links in its path
    """
    failure = None
    _watched.deeds.clear()
    try:
        with _watching(folder):
            target.read(data, folder)
    except Exception as error:
        failure = error
    if _watched.deeds:
        raise Finding(f"The reader did what no file may make it do: {_watched.deeds[0]}") from failure
    if failure and not isinstance(failure, target.errors):
        raise failure
    if failure and (why := _unfit(failure)):
        raise Finding(f"{type(failure).__name__} {why}: {str(failure)[:200]!r}") from failure


def _unfit(error: Exception) -> str:
    """Why the text of an error is no sentence for people; an empty text if it is one."""
    text = str(error)
    if not _is_raised(error):
        return "comes from Python, not from the reader"
    if len(text) > LONGEST:
        return f"has {len(text):,} characters"
    if not text.strip():
        return "says nothing"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    return "" if text.replace("\n", "").isprintable() else "moves the cursor"


def _is_raised(error: Exception) -> bool:
    """Whether a `raise` of the pack raised it, and not a function of Python that was given something wrong."""
    trace = error.__traceback__
    assert trace
    while trace.tb_next:
        trace = trace.tb_next
    code: types.CodeType = trace.tb_frame.f_code
    return code.co_filename.startswith(PACK) and code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]


@contextmanager
def _watching(folder: Path) -> Generator[None]:
    _watched.folder = str(folder)
    signal.signal(signal.SIGVTALRM, _too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _watched.folder = None


def _too_slow(*_: object) -> None:
    _watched.deeds.append(f"take more than {SECONDS} seconds")
    raise TimeoutError("not while it is fuzzed")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched.folder is None:
        return
    if event == "open":
        _, _, flags = arguments
        if flags & WRITING and not _inside(arguments[0]):
            _watched.deeds.append(f"open {arguments[0]!r} for writing")
            raise PermissionError("not while it is fuzzed")
    elif event.startswith(RUNS_SOMETHING) or event.startswith(CHANGES_FILES) and not _inside(arguments[0]):
        _watched.deeds.append(f"{event} {arguments!r:.200}")
        raise PermissionError("not while it is fuzzed")


def _inside(path: Any) -> bool:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return True  # the number of a file that is open
    place = os.path.realpath(os.fsdecode(path))
    return place == os.devnull or os.path.commonpath([place, _watched.folder or ""]) == _watched.folder


sys.addaudithook(_hook)
