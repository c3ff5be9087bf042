"""Answer "library export": write a library for other programs, or for a team."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ....model_files.folders import Installation
from ....references.library import Library
from ...terminal import Answer, ProgressLine, wrapped
from ..places import library_folder

if TYPE_CHECKING:
    from ....references.exports.source import Progress


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    if options.format != "lance" and (options.table is not None or options.storage_option):
        raise ValueError(f"--table and --storage-option are of LanceDB, and {options.format} is written into a folder.")
    storage, line = storage_options(options.storage_option), ProgressLine()

    def progress(done: int, total: int) -> None:
        line.show(f"{done:,} of {total:,} pictures")

    with Library.open(library_folder(where, options.name)) as library:
        try:
            written = _write(library, options, storage, progress)
        finally:
            line.clear()
        count = library.count
    data = {"library": options.name, "format": options.format, "target": written, "pictures": count}
    return Answer(data, wrapped(f"{count:,} picture{'' if count == 1 else 's'} written: {written}"))


def _write(library: Library, options: argparse.Namespace, storage: Mapping[str, str], progress: Progress) -> str:
    """Where it is now."""
    from ....references.exports import export_lance, export_numpy, export_parquet

    target, table = options.target, options.name if options.table is None else options.table
    if options.format == "lance":
        export_lance(library, target, table, force=options.force, storage_options=storage, on_progress=progress)
        return f"{target}, table {table}"
    write = export_parquet if options.format == "parquet" else export_numpy
    return str(write(library, Path(target), force=options.force, on_progress=progress))


def storage_options(typed: list[str]) -> dict[str, str]:
    """{option: name of the environment variable that holds its value}.

    Raises:
        ValueError: something else was typed, which may be a secret and is not shown.
    """
    pairs = [each.partition("=") for each in typed]
    if not all(key.strip() and name.isidentifier() for key, _, name in pairs):
        raise ValueError(
            "A storage option is KEY=VARIABLE, such as aws_secret_access_key=TEAM_KEY, where the environment variable "
            "TEAM_KEY holds the value. The value itself is never given here."
        )
    found = {key: name for key, _, name in pairs}
    if len(found) < len(pairs):
        raise ValueError("A storage option is given twice: give each once.")
    return found
