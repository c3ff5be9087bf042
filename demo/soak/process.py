"""What a process uses, from Linux's /proc. Standard library only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from devtools.stages import StageError

QUIET, LOOK, LONGEST = 0.5, 0.05, 10.0  # seconds without work, between looks, until a busy process is measured as it is
IDLE_TICKS = 1  # of the clock of processes within the quiet seconds: threads that wait wake up at times
PROC = Path("/proc")


@dataclass(frozen=True)
class Use:
    """resident, peak: MiB; files: open ones; threads"""

    resident: float
    peak: float
    files: int
    threads: int


def check_system() -> None:
    """StageError where there is no /proc."""
    if not (PROC / "self" / "fd").is_dir():
        raise StageError("soak", "memory, files and threads are read from /proc, which only Linux has: run it there.")


def use_of(pid: int) -> Use:
    """What a process uses now."""
    status = dict(line.split(":", 1) for line in (PROC / str(pid) / "status").read_text().splitlines())
    resident, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return Use(resident, peak, len(os.listdir(PROC / str(pid) / "fd")), int(status["Threads"]))


def work_of(pid: int) -> int:
    """The ticks that a process has worked so far."""
    fields = (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])  # in its own code and in the kernel's


def wait_until_idle(pid: int) -> None:
    """Wait until a process has not worked for a moment."""
    deadline = time.monotonic() + LONGEST
    since, before = time.monotonic(), work_of(pid)
    while time.monotonic() < min(deadline, since + QUIET):
        time.sleep(LOOK)
        now = work_of(pid)
        if now - before > IDLE_TICKS:
            since, before = time.monotonic(), now
