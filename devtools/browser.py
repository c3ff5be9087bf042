"""The system's Chromium, driven by a script for node and playwright-core. Standard library only.

What is missing is installed: playwright-core in DEV, the programs by apt-get where we are root. Elsewhere install them
yourself; the environment variable CHROMIUM names a browser that is not on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .stages import DEV, StageError, log_file, run

PLAYWRIGHT = "1.65.1"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def drive(script: Path, task: dict[str, object], timeout: float) -> dict:
    """Run a script, which reads its task from its input and writes its answer to its output, both JSON.

    Raises:
        StageError: it failed, or took longer than `timeout` seconds; or something is missing and cannot be installed.
    """
    with one_at_a_time():
        node = program(("node",), "nodejs")
        chromium = os.environ.get("CHROMIUM") or program(BROWSERS)
        given = {"playwright": str(playwright()), "chromium": chromium, **task}
    log = log_file(script.stem)
    with open(log, "wb") as errors:
        try:
            done = subprocess.run(
                [node, script],
                input=json.dumps(given).encode(),
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StageError(script.name, f"it did not end within {timeout:.0f} s", log) from None
    if done.returncode:
        raise StageError(script.name, "\n".join([f"exit code {done.returncode}", log.read_text(errors="replace")]), log)
    return json.loads(done.stdout)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let other processes wait: two tests that install the same package at once get in each other's way."""
    if os.name == "nt":  # where nothing is installed
        yield
        return
    import fcntl

    DEV.mkdir(parents=True, exist_ok=True)
    with open(DEV / "browser.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        yield


def playwright() -> Path:
    """The folder of the package, at the pinned version."""
    folder = DEV / "browser" / "node_modules" / "playwright-core"
    described = folder / "package.json"
    if not described.is_file() or json.loads(described.read_text())["version"] != PLAYWRIGHT:
        options = ["--no-save", "--no-audit", "--no-fund", "--prefix", DEV / "browser"]
        npm = program(("npm",), "npm")
        run("playwright-core", [npm, "install", *options, f"playwright-core@{PLAYWRIGHT}"])
    return folder


def program(names: Sequence[str], package: str = "") -> str:
    """The first of these programs that is there; otherwise Debian's package of it is installed."""
    package = package or names[0]
    if not found(names):
        install(package)
    if path := found(names):
        return path
    raise StageError(package, f"apt-get installed it, but there is still no {' or '.join(names)} on the path.")


def found(names: Sequence[str]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def install(package: str) -> None:
    if os.name == "nt" or not shutil.which("apt-get") or os.geteuid() != 0:
        raise StageError(
            package,
            f"there is no {package} on the path, and only root can install it here, with apt-get: install it "
            "yourself (of a browser, the environment variable CHROMIUM may give the path).",
        )
    run(f"update for {package}", ["apt-get", "update"])
    run(package, ["apt-get", "install", "--yes", "--no-install-recommends", package])
