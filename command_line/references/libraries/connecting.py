"""Answer "library connect": give the LanceDB table of a team a name among the own libraries."""

from __future__ import annotations

import argparse
from pathlib import Path

from ....model_files.folders import Installation
from ....tensor_files import printable
from ...terminal import Answer, wrapped
from ..places import new_library_folder
from .exporting import storage_options

DIGITS = 18  # that the number of a root has at most


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    from ....references.lance import connect
    from ....references.search import open_library

    folder = new_library_folder(where, options.name)
    roots, storage = _roots(options.root), storage_options(options.storage_option)
    connect(folder, options.uri, options.table, storage_options=storage, roots=roots)
    library = open_library(folder)
    data = {
        "library": options.name,
        "uri": options.uri,
        "table": options.table,
        "pictures": library.count,
        "space": library.space.as_json(),
    }
    said = f"The table {options.table} can be searched as the library {options.name}: {library.count:,} pictures."
    return Answer(data, wrapped(said))


def _roots(typed: list[str]) -> dict[int, Path]:
    """{number of a root: the folder on this machine}."""
    found = dict(_root(each) for each in typed)
    if len(found) < len(typed):
        raise ValueError("--root gives the folder of a root twice: give each root once.")
    return found


def _root(typed: str) -> tuple[int, Path]:
    number, _, folder = typed.partition("=")
    if not (number.isdecimal() and len(number) <= DIGITS and folder):
        raise ValueError(f"{printable(typed, 200)!r} is no root: write NUMBER=FOLDER, such as 1=/mnt/pictures.")
    return int(number), Path(folder)
