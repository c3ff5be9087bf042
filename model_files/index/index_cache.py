"""Keep what was found in files in a JSON file, for the next start. A damaged or foreign cache counts as empty."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, cast

from .identity import Identity

FORMAT = 1
MAX_BYTES = 256 << 20
PART = re.compile(r"\.[0-9a-f]{8}\.part")
LEFT_OVER_SECONDS = 3600.0
DECIDING = ("model_files", "tensor_files", "ip_adapter", "clip_vision")  # the packages that decide what a file is


def sources() -> Iterable[Path]:
    pack = Path(__file__).resolve().parents[2]
    return (file for package in DECIDING for file in sorted((pack / package).rglob("*.py")))


def digest(files: Iterable[Path]) -> str:
    """A hash that changes whenever one of these files changes."""
    whole = hashlib.sha256(f"{FORMAT}".encode())
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()


RULES = digest(sources())  # taken once, because an update may replace the files under a running ComfyUI


@dataclass(frozen=True)
class Known:
    """What a file of this size and time was found to be, or the problem why it could not be read."""

    size: int
    mtime_ns: int
    identity: Identity | None
    problem: str = ""


def load(path: Path) -> dict[str, Known]:
    """{path of a model file: what is known about it}. Empty if the cache is absent, damaged, or of other rules."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            return {}
        table = json.loads(path.read_bytes())
        if table["rules"] != RULES:
            return {}
        return {str(file): _known(*row) for file, row in table["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def save(path: Path, known: Mapping[str, Known]) -> None:
    """Write the cache all at once: other processes only ever see a complete file. A full disk is not an error."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        table = {"rules": RULES, "files": {file: _row(each) for file, each in known.items()}}
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        part.write_text(json.dumps(table, separators=(",", ":")), encoding="utf-8")
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def take_over(path: Path) -> Path:
    """Move the cache that an earlier version kept one folder above to this path, and return the path."""
    old = path.parent.parent / path.name
    with suppress(OSError):
        if old.is_file() and not path.exists():
            path.parent.mkdir(exist_ok=True)
            os.replace(old, path)
        _remove_left_over(old)
    return path


def _remove_left_over(path: Path) -> None:
    """Remove what killed processes had half written. A process that is writing now takes only seconds."""
    for part in path.parent.iterdir():
        if PART.fullmatch(part.name.removeprefix(path.name)):
            with suppress(OSError):  # another process has finished or removed it
                if time.time() - part.stat().st_mtime > LEFT_OVER_SECONDS:
                    part.unlink()


def _row(known: Known) -> list[object]:
    return [known.size, known.mtime_ns, known.identity and astuple(known.identity), known.problem]


def _known(size: Any, mtime_ns: Any, identity: Any, problem: Any) -> Known:
    """One entry of the cache. ValueError if its values are of other types than those that are written."""
    found = None if identity is None else _identity(*identity)
    if type(size) is not int or type(mtime_ns) is not int or not isinstance(problem, str):
        raise ValueError
    return Known(size, mtime_ns, found, problem)


def _identity(*fields: Any) -> Identity:
    *texts, projection, problem, also = fields
    texts, also = [*texts, problem, *also], tuple(cast("Iterable[str]", also))
    if not all(isinstance(text, str) for text in texts) or type(projection) is not bool:
        raise ValueError
    return Identity(*fields[:-1], also=also)
