"""The archive for the registry: made by comfy-cli from a clean checkout, and what may be wrong with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..stages import StageError

LARGEST_FILE = 1 << 20  # bytes; a model or a picture that was not made small would be larger
LARGEST = 8 << 20  # bytes of the archive
KINDS = {  # what a pack has: anything else has been added by mistake, or belongs into this list
    *("", ".css", ".gz", ".jpg", ".js", ".json", ".md", ".mjs", ".py", ".toml", ".txt", ".typed"),
}
NEEDED = ("__init__.py", "pyproject.toml", "README.md", "LICENSE", "nodes/__init__.py")
PASSED = "All validation checks passed"


def comfy(python: Path, folder: Path, *arguments: str) -> str:
    """What comfy-cli says of the pack in `folder`. It ends with 0 also where it warns."""
    command = [str(python), "-m", "comfy_cli", "--no-json", "--skip-prompt", "node", *arguments]
    home = folder.with_name("home")  # it keeps settings there
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    said = done.stdout + done.stderr
    if done.returncode:
        raise StageError(f"comfy node {arguments[0]}", said.strip())
    return said


def validate(python: Path, folder: Path) -> None:
    said = comfy(python, folder, "validate")
    if PASSED not in said or "warning" in said.lower():
        raise StageError("comfy node validate", said.strip())


def pack(python: Path, folder: Path, target: Path) -> None:
    """Write the archive that the registry would get to `target`."""
    said = comfy(python, folder, "pack")
    if not (folder / "node.zip").is_file():
        raise StageError("comfy node pack", f"made no node.zip: {said.strip()}")
    shutil.move(folder / "node.zip", target)


def require_good(archive: Path, expected: set[str]) -> None:
    """Raises StageError if the archive has other files than `expected`, or some that no pack should have."""
    if wrong := list(faults(archive, expected)):
        raise StageError("check the archive", "\n".join(wrong))


def faults(archive: Path, expected: set[str]) -> Iterator[str]:
    if (size := archive.stat().st_size) > LARGEST:
        yield f"{archive.name} has {size:,} bytes, and should have {LARGEST:,} at most: is something large in it?"
    with zipfile.ZipFile(archive) as opened:
        files = {each.filename: each.file_size for each in opened.infolist() if not each.is_dir()}
    yield from (f"{name} is not in the archive." for name in sorted({*expected, *NEEDED} - set(files)))
    yield from (f"{name} is in the archive, and should not be." for name in sorted(set(files) - expected))
    for name, size in sorted(files.items()):
        if PurePosixPath(name).suffix not in KINDS:
            yield f"{name} is no kind of file that the pack has: leave it out, or add its ending to KINDS."
        if size > LARGEST_FILE:
            yield f"{name} has {size:,} bytes, and a file should have {LARGEST_FILE:,} at most."


def unpack(archive: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder
