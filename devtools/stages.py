"""Stages of a command: what a person sees while one runs, and its log. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEV = Path(os.environ.get("IMAGE_PROMPT_DEV") or ROOT / ".dev").resolve()  # all that is made or downloaded


class StageError(Exception):
    """A stage failed: its name, why, and where its log is."""

    def __init__(self, stage: str, reason: str, log: Path | None = None):
        super().__init__(f"{stage}: {reason}")
        self.stage, self.reason, self.log = stage, reason, log


def stamp(name: str) -> Path:
    return DEV / "stamps" / name


def is_done(name: str, digest: str) -> bool:
    return stamp(name).is_file() and stamp(name).read_text() == digest


def mark_done(name: str, digest: str) -> None:
    stamp(name).parent.mkdir(parents=True, exist_ok=True)
    stamp(name).write_text(digest)


class Progress:
    """One line on a terminal: the stage, its seconds, the end of its log. Elsewhere only a line when it is done."""

    def __init__(self, stage: str, log: Path | None = None):
        self.stage, self.log, self.start = stage, log, time.monotonic()

    def __call__(self) -> None:
        if sys.stdout.isatty():
            said = "".join(tail(self.log, 1))
            show(f"{self.stage}: {self.seconds:4.0f} s  {said}")

    def done(self, what: str = "done") -> None:
        if sys.stdout.isatty():
            show("")
        print(f"{self.stage}: {what} ({self.seconds:.1f} s)", flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


def show(line: str) -> None:
    """Write over the current line of the terminal."""
    width = max(40, shutil.get_terminal_size().columns - 1)
    sys.stdout.write("\r" + line[:width].ljust(width) + ("" if line else "\r"))
    sys.stdout.flush()


def log_file(stage: str) -> Path:
    log = DEV / "logs" / f"{stage.lower().replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def tail(log: Path | None, count: int) -> list[str]:
    """The last lines of a log; a progress bar that overwrites itself counts as one."""
    if log is None or not log.is_file():
        return []
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - 20000))
        text = file.read().decode(errors="replace")
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1].rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-count:]


def run(stage: str, *commands: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
    """Run one or several commands at the same time, each with its output in a log.

    environment: beside what is set already

    Raises:
        StageError: one failed, with its log. The others are ended.
    """
    logs = [log_file(" ".join([stage, *([str(number)] if number else [])])) for number in range(len(commands))]
    progress = Progress(stage, logs[0])
    processes: list[subprocess.Popen[bytes]] = []
    codes: list[int | None] = [None]
    try:
        for command, log in zip(commands, logs, strict=True):
            processes.append(start(command, log, environment or {}))
        while None in codes and not any(codes):
            progress()
            time.sleep(0.1)
            codes = [process.poll() for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
    for code, log in zip(codes, logs, strict=True):
        if code:
            raise StageError(stage, f"exit code {code}", log)
    progress.done()


def start(command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with open(log, "wb") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
