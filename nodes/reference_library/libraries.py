"""The libraries of reference pictures in ComfyUI's user folder. One that is open is kept until it changes."""

from pathlib import Path
from typing import Any

import folder_paths

from ...references.library import check_name, libraries_folder
from ...references.search import Searchable
from ...references.search.kept import KeptLibraries
from .. import input_checks
from ..folders import digest

SHOWN = 10  # names in a message


def folder() -> Path:
    return libraries_folder(Path(folder_paths.get_user_directory()))


_kept = KeptLibraries(folder)


def names() -> list[str]:
    return _kept.names()


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
    return _kept.open(name)


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
    return _kept.look(name)


def fingerprint(name: str | None) -> str:
    """A value that differs once the library was written to. If its name is linked (None), it covers all libraries."""
    return digest([_state_of(each) for each in (names() if name is None else [name])])


def _state_of(name: str) -> object:
    try:
        return name, looked_at(name)[0] if name in names() else None
    except (OSError, ValueError):
        return name, None
