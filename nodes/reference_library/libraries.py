"""The libraries of reference pictures in ComfyUI's user folder. One that is open is kept until it changes."""

import threading
from pathlib import Path
from typing import Any

import folder_paths

from ...references.library import libraries_folder, library_names
from ...references.search import Searchable, open_library
from .. import input_checks
from ..folders import digest

SHOWN = 10  # names in a message
KEPT = 2  # libraries that stay open: a million pictures take 2 GB
_one_at_a_time = threading.Lock()
_open: dict[str, Searchable] = {}  # by name, the last used last


def folder() -> Path:
    return libraries_folder(Path(folder_paths.get_user_directory()))


def names() -> list[str]:
    return library_names(folder())


def opened(name: Any) -> Searchable:
    """The library of this name as it is now.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    known = names()
    if not isinstance(name, str) or name not in known:
        offered = ", ".join(known[:SHOWN]) + (", ..." if len(known) > SHOWN else "")
        there = f"choose one that is there ({offered})" if known else "there is none yet"
        raise ValueError(
            f"The library is {input_checks.described(name)}: {there}, or make one with Add to Reference Library."
        )
    with _one_at_a_time:
        found, kept = open_library(folder() / name), _open.pop(name, None)
        if kept is not None and _state(kept) == _state(found):
            found = kept  # which has its vectors in memory
        _open[name] = found
        for old in [*_open][:-KEPT]:
            del _open[old]
    return found


def fingerprint(name: str | None) -> str:
    """A value that differs once the library was written to. If its name is linked (None), it covers all libraries."""
    return digest([_state_of(each) for each in (names() if name is None else [name])])


def _state_of(name: str) -> object:
    try:
        return name, _state(opened(name))
    except (OSError, ValueError):
        return name, None


def _state(library: Searchable) -> tuple[object, ...]:
    return library.space, library.generation, library.count
