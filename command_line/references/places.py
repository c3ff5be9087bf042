"""Where libraries are, and pictures in them, by the names that people type."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model_files.folders import Installation
from ...references.library import Library, check_name, libraries_folder, library_names
from ...tensor_files import printable

BULK = "bulk"  # the folder beside that of the libraries

if TYPE_CHECKING:
    from ...references.search import Searchable


def all_libraries(where: Installation) -> Path:
    """The folder of all libraries, which need not exist. ValueError if no ComfyUI is known, which has it."""
    if where.private is None:
        raise ValueError(
            "Libraries are kept in the user folder of a ComfyUI, and none was found. Give one with --comfyui PATH."
        )
    return libraries_folder(where.private.parent)


def library_folder(where: Installation, name: str) -> Path:
    """The folder of a library that exists. ValueError, with the known ones, if there is none of that name."""
    folder = all_libraries(where)
    known = library_names(folder)
    if name in known:
        return folder / name
    check_name(name)
    if not known:
        raise ValueError(
            f"There is no library {printable(name)!r}, and no other. `embed FOLDER --library NAME` makes one."
        )
    alike = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {alike[0]!r}?" if alike else ""
    raise ValueError(f"There is no library {printable(name)!r}.{hint} Known are: {', '.join(known)}.")


def opened(where: Installation, name: str) -> Searchable:
    """A library to search, of this machine or of a team. Raises as `library_folder` and `open_library`."""
    from ...references.search import open_library

    return open_library(library_folder(where, name))


def new_library_folder(where: Installation, name: str) -> Path:
    """The folder of a library that may not exist yet. ValueError if it cannot have this name."""
    return all_libraries(where) / check_name(name)


def bulk_folder(where: Installation, name: str) -> Path:
    """Where the plan and the parts of a library are while machines share the work. It need not exist."""
    return all_libraries(where).parent / BULK / check_name(name)


def path_of(library: Any, picture: Any) -> str | None:
    """Where the file of a picture is; None if the library does not know, as one of another machine."""
    try:
        return str(library.path_of(picture))
    except (ValueError, OSError, LookupError):
        return None


def paths_in(library: Library, typed: Sequence[str], failed: bool = False) -> list[str]:
    """The paths of pictures as a writer takes them, by what `search` shows, or by the paths of their files.

    failed: whether files that could not be embedded are meant as well

    Raises:
        ValueError: the library has no such picture.
    """
    rows = list(zip(library.column("root"), library.column("path"), strict=True))
    rows += library.waiting()
    rows += [(each.root, each.path) for each in library.errors()] if failed else []
    known = Counter(path for _, path in dict.fromkeys(rows))
    files = {os.path.normcase(library.roots[root] / path) for root, path in rows if root in library.roots}
    found = [each if each in known else _file(each, files) for each in typed]
    if absent := [each for each, path in zip(typed, found, strict=True) if not path]:
        alike = difflib.get_close_matches(absent[0], known, 1)
        hint = f" Did you mean {alike[0]!r}?" if alike else ""
        raise ValueError(
            f"The library {library.name!r} has no picture {printable(absent[0])!r}.{hint} Give paths as `search` shows "
            "them, below the folder that was embedded, or those of the files."
        )
    if several := next((path for path in found if known[path] > 1), None):
        raise ValueError(
            f"{printable(several)!r} is in several folders of the library {library.name!r}: give the path of the file."
        )
    return found


def _file(typed: str, files: Container[str]) -> str:
    """The whole path of a file that a library knows; an empty text if it does not."""
    return next(
        (path for path in (os.path.abspath(typed), os.path.realpath(typed)) if os.path.normcase(path) in files), ""
    )
