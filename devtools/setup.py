"""The interpreter and the packages, made once and again when a list of packages changes. Standard library only."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .sources import given, released
from .stages import DEV, ROOT, StageError, is_done, mark_done, run, stamp

VENV = DEV / "venv"
TORCH, PINS = (ROOT / "tests" / name for name in ("torch_requirements.txt", "requirements.txt"))


def set_up(options: argparse.Namespace) -> tuple[Path, Path]:
    """Make an interpreter and a ComfyUI ready, and return the paths of both."""
    comfyui = given(options.comfyui) if options.comfyui else None
    if options.python:
        python = existing_python(options.python)
    else:
        python = virtual_environment()
        packages(python, comfyui)
    return python, comfyui or released(python)


def virtual_environment() -> Path:
    """The interpreter of our virtual environment, made by the Python that runs this file."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    version = ".".join(map(str, sys.version_info[:2]))
    if not (python.exists() and is_done("venv", version)):
        found = VENV / "pyvenv.cfg"
        useless = found.is_file() and not (python.exists() and f"version = {version}." in found.read_text())
        run("virtual environment", [sys.executable, "-m", "venv", *(["--clear"] if useless else []), VENV])
        stamp("packages").unlink(missing_ok=True)
        mark_done("venv", version)
    return python


def packages(python: Path, comfyui: Path | None) -> None:
    """Install every package at its pinned version. pip's own configuration (index, proxy, certificates) is yours.

    torch is as large as all others, and pip works on one core: a second one installs these, without what they ask for,
    which is in the lists. A third looks whether that is so, and adds what they ask for on one platform alone.
    """
    lists = [TORCH, PINS, *([comfyui / "requirements.txt"] if comfyui else [])]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in lists)).hexdigest()
    if is_done("packages", digest):
        return
    stamp("packages").unlink(missing_ok=True)  # a failure leaves neither the old packages nor the new
    install = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    run("packages", [*install, "-r", TORCH], [*install, "--no-deps", "-r", PINS])
    run("what packages need", [*install, *(f"-r{file}" for file in lists[:2])])
    for file in lists[2:]:
        run("packages of ComfyUI", [*install, "-r", file])
    mark_done("packages", digest)


def more_packages(python: Path, name: str, pins: Path) -> Path:
    """A folder below .dev with the packages of a list, which are there for those who put it on Python's path."""
    folder, digest = DEV / name / "packages", hashlib.sha256(pins.read_bytes()).hexdigest()
    if not (folder.is_dir() and is_done(name, digest)):
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--upgrade", "--target", folder]
        run(f"packages of {name}", [*pip, "-r", pins])
        mark_done(name, digest)
    return folder


def existing_python(given: str) -> Path:
    python = os.path.abspath(shutil.which(given) or given)  # commands run in other folders; links stay, for venvs
    if not os.path.isfile(python):
        raise StageError("Python", f"there is no {python}: --python takes an interpreter.")
    return Path(python)


def has_accelerator(python: Path) -> bool:
    probe = "import torch; raise SystemExit(not (torch.accelerator.is_available() if hasattr(torch, 'accelerator') "
    probe += "else torch.cuda.is_available()))"
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0
