"""Keep what was found in files in a JSON file, for the next start. A damaged or foreign cache counts as empty.

The file also keeps which modules could be imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
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
_writing = threading.Lock()  # what one part of a process keeps, another must not overwrite


@dataclass(frozen=True)
class Known:
    """What a file of this size and time was found to be, or the problem why it could not be read."""

    size: int
    mtime_ns: int
    identity: Identity | None
    problem: str = ""


@dataclass(frozen=True)
class ImportTrial:
    """Whether a module could be imported at a time, in the state that the installed packages had then."""

    state: str
    problem: str  # why it could not; "" if it could
    time: float  # in seconds since 1970


def load(path: Path) -> dict[str, Known]:
    """{path of a model file: what is known about it}. Empty if the cache is absent, damaged, or of other rules."""
    try:
        return {str(file): _known(*row) for file, row in _read(path)["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def save(path: Path, known: Mapping[str, Known]) -> None:
    """Write what is known about model files into the cache. A full disk is not an error."""
    with _writing:
        _write(path, {file: _row(each) for file, each in known.items()}, load_imports(path))


def load_imports(path: Path) -> dict[str, ImportTrial]:
    """{module: whether it could be imported}. Empty if the cache is absent, damaged, or of other rules."""
    try:
        return {str(module): _trial(*row) for module, row in _read(path)["imports"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def save_import(path: Path, module: str, trial: ImportTrial) -> None:
    """Write into the cache whether a module could be imported. A full disk is not an error."""
    with _writing:
        files = _read(take_over(path)).get("files", {})
        _write(path, files, {**load_imports(path), module: trial})


def count(path: Path) -> int | None:
    """How many model files the cache knows; None if it is absent, damaged, or of other rules."""
    files = _read(path).get("files")
    return len(cast("dict[str, object]", files)) if isinstance(files, dict) else None


def _read(path: Path) -> dict[str, Any]:
    """The content of the cache; empty if it is absent, damaged, or of other rules."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            return {}
        table = json.loads(path.read_bytes())
        return table if table["rules"] == RULES else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _write(path: Path, files: object, imports: Mapping[str, ImportTrial]) -> None:
    """Write the cache all at once: other processes only ever see a complete file."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    trials = {module: astuple(trial) for module, trial in imports.items()}
    try:
        table = {"rules": RULES, "files": files, **({"imports": trials} if trials else {})}
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


def _trial(state: Any, problem: Any, time: Any) -> ImportTrial:
    """One entry of the cache. ValueError if its values are of other types than those that are written."""
    if not isinstance(state, str) or not isinstance(problem, str) or not isinstance(time, (int, float)):
        raise ValueError
    return ImportTrial(state, problem, time)


def _identity(*fields: Any) -> Identity:

    *texts, projection, problem, also = fields
    texts, also = [*texts, problem, *also], tuple(cast("Iterable[str]", also))
    if not all(isinstance(text, str) for text in texts) or type(projection) is not bool:
        raise ValueError
    return Identity(*fields[:-1], also=also)
