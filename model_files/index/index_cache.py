"""Keep what was found in files in a JSON file, for the next start. A damaged or foreign cache counts as empty.

The file also keeps which modules could be imported.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, cast

from ...tensor_files.whole_files import remove_left_over, replaced_file
from .identity import Identity

FORMAT = 1
MAX_BYTES = 256 << 20
PATIENCE = 5.0  # seconds to wait for another process that writes it
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
_writing = threading.Lock()  # parts of one process wait for each other without looking again and again
_told: set[Path] = set()  # caches that cannot be written, which the log says once


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
    return _files(_read(path))


def save(
    path: Path, known: Mapping[str, Known], fresh: Collection[str] | None = None, gone: Collection[str] = ()
) -> bool:
    """Write what is known about model files into the cache, beside what other processes have written meanwhile.

    fresh: paths of those that were read since the last save, which replace what others know of them; by default all
    gone: paths to forget

    Returns whether it was written. A full disk is no error, but told in the log.
    """

    def merged(table: dict[str, Any]) -> dict[str, Any]:
        there = table["files"] if _files(table) else dict[str, Any]()
        wanted = [file for file in known if fresh is None or file in fresh or file not in there]
        files = {**there, **{file: _row(known[file]) for file in wanted}}
        return {**table, "files": {file: row for file, row in files.items() if file not in gone}}

    return _change(path, merged)


def load_imports(path: Path) -> dict[str, ImportTrial]:
    """{module: whether it could be imported}. Empty if the cache is absent, damaged, or of other rules."""
    return _trials(_read(path))


def save_import(path: Path, module: str, trial: ImportTrial) -> None:
    """Write into the cache whether a module could be imported. A full disk is no error, but told in the log."""

    def merged(table: dict[str, Any]) -> dict[str, Any]:
        others = {name: astuple(other) for name, other in _trials(table).items()}
        return {"files": {}, **table, "imports": {**others, module: astuple(trial)}}

    _change(take_over(path), merged)


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


def _trials(table: Mapping[str, Any]) -> dict[str, ImportTrial]:
    try:
        return {str(module): _trial(*row) for module, row in table["imports"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _change(path: Path, merged: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
    """Replace the cache by what is made of it. Other processes only ever see a complete file, and change it in turn."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _writing, replaced_file(path, PATIENCE) as file:
            table = {"rules": RULES, **merged(_read(path))}
            file.write(json.dumps(table, separators=(",", ":")).encode())
    except OSError as error:
        _tell_once(path, error)
        return False
    _told.discard(path)
    return True


def _files(table: Mapping[str, Any]) -> dict[str, Known]:
    """What is known of files. Empty if any of it is damaged."""
    try:
        return {str(file): _known(*row) for file, row in table["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _tell_once(path: Path, error: OSError) -> None:
    if path not in _told:
        _told.add(path)
        logging.getLogger(__name__).warning(
            "What is known of the model files could not be kept in %s: %s. They are found all the same, but the next "
            "start reads them again. Check that the folder may be written to and that the disk has room.",
            path,
            error.strerror or error,
        )


def take_over(path: Path) -> Path:
    """Move the cache that an earlier version kept one folder above to this path, remove what a killed process has
    left of it, and return the path."""
    old = path.parent.parent / path.name
    with suppress(OSError):
        remove_left_over(path)
    with suppress(OSError):
        if old.is_file() and not path.exists():
            path.parent.mkdir(exist_ok=True)
            os.replace(old, path)
    return path


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
