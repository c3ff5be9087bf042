"""Run a command on this terminal, and end it in order when a signal comes. Standard library only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .stages import ROOT

STOP_SECONDS = 30  # what two test processes need to stop their ComfyUI


def call(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path = ROOT) -> int:
    """Run a command on this terminal. When this process is stopped, the command has time to stop what it started."""
    process = subprocess.Popen([str(part) for part in command], cwd=folder, env={**os.environ, **environment})
    try:
        return process.wait()
    except KeyboardInterrupt:  # Ctrl-C reached it too
        wait_or_kill(process)
        raise
    except SystemExit:  # SIGTERM or SIGHUP, which reached this process alone
        if os.name != "nt":
            process.send_signal(signal.SIGINT)  # pytest tears its fixtures down
        wait_or_kill(process)
        raise


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit):
        process.kill()
        process.wait()


def stop(number: int, _: object) -> None:
    """A signal handler that lets every `finally` run."""
    sys.exit(128 + number)


def catch_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so our children
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP, nohup ignores it
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
