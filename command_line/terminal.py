"""Format text for a terminal of any width, or for a pipe."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from ..tensor_files import printable

LONGEST_HEAD = 20
WIDTH = 80  # if the width of the terminal is not known
REDRAW_SECONDS = 0.2


@dataclass(frozen=True)
class Answer:
    """What a command answers: plain data for `--json`, and the same as text."""

    data: object
    lines: Sequence[str]
    code: int = 0


def width() -> int:
    return max(40, shutil.get_terminal_size((WIDTH, 24)).columns - 1)


def said_of(error: OSError) -> str:
    """What the system says of a file, as a sentence without its number."""
    if error.strerror is None:
        return " ".join(str(error).split())
    where = "" if error.filename is None else f" {printable(os.fsdecode(error.filename))!r}"
    return f"{error.strerror}{':' if where else ''}{where}."


def wrapped(text: str, indent: str = "", further: str | None = None) -> list[str]:
    """The text in lines no wider than the terminal. Paths and links stay in one piece, even if they are wider."""
    return textwrap.wrap(
        printable(text),
        width(),
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def described(heads: Sequence[tuple[str, str]], indent: str = "  ") -> list[str]:
    """A list of names, each with its text beside it, or below it if a name is long."""
    heads = [(printable(head), text) for head, text in heads]
    column = max((len(head) for head, _ in heads), default=0)
    lines: list[str] = []
    for head, text in heads:
        if column <= LONGEST_HEAD:
            lines += wrapped(text, f"{indent}{head:{column}}  ", " " * (len(indent) + column + 2)) or [indent + head]
        else:
            lines += [indent + head, *wrapped(text, indent + "  ")]
    return lines


def section(title: str, lines: Iterable[str]) -> list[str]:
    """A title and the lines below it, or nothing if there are no lines."""
    lines = list(lines)
    return [title, *lines, ""] if lines else []


def size_text(size: int | None) -> str:
    """A size in bytes, MB or GB; an empty text if it is not known."""
    if size is None:
        return ""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"


class ProgressLine:
    """One line that is overwritten again and again. If there is no terminal, nothing is written."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._drawn = 0.0
        self._length = 0

    def show(self, text: str, now: bool = False) -> None:
        if self._shown and (now or time.monotonic() - self._drawn > REDRAW_SECONDS):
            text = printable(text)[: width()]
            self._write(f"\r{text}{' ' * (self._length - len(text))}")
            self._drawn, self._length = time.monotonic(), len(text)

    def clear(self) -> None:
        if self._length:
            self._write(f"\r{' ' * self._length}\r")
            self._length = 0

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
