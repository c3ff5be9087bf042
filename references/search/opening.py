"""Open whatever has the name of a library."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

from ..library import Library
from ..library.about import ABOUT, LARGEST
from .local import LocalLibrary
from .searchable import Searchable


def open_library(folder: str | os.PathLike[str]) -> Searchable:
    """A library as it is now: one of this machine, or one that is connected to a LanceDB table, for which lancedb is
    needed.

    Raises:
        FileNotFoundError: there is no library.
        ValueError: it is damaged, of a newer version, or cannot be reached.
    """
    if _kind(Path(folder)) == "lance":
        from ..lance import LanceLibrary  # which imports from here

        return LanceLibrary.open(Path(folder))
    return LocalLibrary(Library.open(folder))


def _kind(folder: Path) -> object:
    """What kind of library says to be in a folder; None for one of this machine, and where nothing can be read."""
    try:
        about: object = json.loads((folder / ABOUT).read_bytes()[:LARGEST])
    except (OSError, ValueError, RecursionError):
        return None  # opening it says what is wrong
    return cast("dict[str, object]", about).get("kind") if isinstance(about, dict) else None
