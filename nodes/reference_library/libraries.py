"""The libraries of reference pictures in ComfyUI's user folder. One that is open is kept until it changes."""

import threading
from pathlib import Path
from typing import Any

import folder_paths

from ...references.library import check_name, libraries_folder, library_names
from ...references.library.about import ABOUT
from ...references.search import Searchable, open_library
from .. import input_checks
from ..folders import digest, file_state

SHOWN = 10  # names in a message
KEPT = 2  # libraries that stay open: a million pictures take 2 GB
_one_at_a_time = threading.Lock()
_open: dict[str, tuple[object, Searchable]] = {}  # by name, each with its state, the last used last


def folder() -> Path:
    return libraries_folder(Path(folder_paths.get_user_directory()))


def names() -> list[str]:
    return library_names(folder())


def opened(name: Any) -> Searchable:
    """The library of this name as it is now, with the vectors that an earlier search has read.

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
        state, found = looked_at(name)
        kept = _open.pop(name, None)
        _open[name] = kept if kept is not None and kept[0] == state else (state, found)
        for old in [*_open][:-KEPT]:
            del _open[old]
        return _open[name][1]


def may_be_opened(name: Any) -> bool | str:
    """The answer of `validate_inputs`. What is not there yet is accepted, since Add to Reference Library may make it
    in the same run; `opened` refuses it then. None stands for a name that is not known yet."""
    try:
        if name is not None and name not in names():
            check_name(input_checks.expect(name, str, "library", "choose one that is there").strip())
    except ValueError as error:
        return str(error)
    return True


def looked_at(name: str) -> tuple[object, Searchable]:
    """A library that is there, and its state, which differs once it was written to or made anew. It is not kept.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    made = file_state(str(folder() / name / ABOUT))
    library = open_library(folder() / name)
    return (made, library.space, library.generation, library.count), library


def fingerprint(name: str | None) -> str:
    """A value that differs once the library was written to. If its name is linked (None), it covers all libraries."""
    return digest([_state_of(each) for each in (names() if name is None else [name])])


def _state_of(name: str) -> object:
    try:
        return name, looked_at(name)[0] if name in names() else None
    except (OSError, ValueError):
        return name, None
