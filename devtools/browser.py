"""The system's Chromium, driven by a script for node and playwright-core; and what checks our scripts. Standard library
only.

What is missing is installed: PACKAGES in DEV, the programs by apt-get where we are root. Elsewhere install them
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

PACKAGES = {"playwright-core": "1.65.1", "typescript": "5.9.3", "@comfyorg/comfyui-frontend-types": "1.45.6"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def drive(script: Path, task: dict[str, object], timeout: float) -> dict:
    """Run a script, which reads its task from its input and writes its answer to its output, both JSON.

    Raises:
        StageError: it failed, or took longer than `timeout` seconds; or something is missing and cannot be installed.
    """
    with one_at_a_time():
        runner = node()
        chromium = os.environ.get("CHROMIUM") or program(BROWSERS)
        given = {"playwright": str(playwright()), "chromium": chromium, **task}
    log = log_file(script.stem)
    with open(log, "wb") as errors:
        try:
            done = subprocess.run(
                [runner, script],
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
    return packages() / "playwright-core"


def packages() -> Path:
    """The folder of PACKAGES, each at its pinned version."""
    folder = DEV / "browser" / "node_modules"
    if any(installed_version(folder / name) != version for name, version in PACKAGES.items()):
        options = ["--no-save", "--no-audit", "--no-fund", "--prefix", DEV / "browser"]
        wanted = (f"{name}@{version}" for name, version in PACKAGES.items())
        run("npm packages", [program(("npm",), "npm"), "install", *options, *wanted])
    return folder


def installed_version(package: Path) -> str | None:
    described = package / "package.json"
    return json.loads(described.read_text())["version"] if described.is_file() else None


def node() -> str:
    return program(("node",), "nodejs")


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
