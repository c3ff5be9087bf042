"""The library.json of a library that is a table elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ...tensor_files import printable
from ...tensor_files.whole_files import write_whole
from ..exports.store import check_options, check_table, check_uri, open_table
from ..library.about import ABOUT, FORMAT, LARGEST, shown
from ..library.names import check_name
from ..space import Space
from .about import About, read_about

KIND = "lance"
WHAT = "The library of a team"


@dataclass(frozen=True)
class Pointer:
    """Where a table is.

    uri: a folder, or the address of an object store
    storage_options: {option of the store: the name of the environment variable that holds it}
    roots: {number of a root: the folder on this machine}
    space: of the vectors when the library was connected; None if nothing says it
    """

    uri: str
    table: str
    storage_options: Mapping[str, str] = field(default_factory=dict[str, str])
    roots: Mapping[int, Path] = field(default_factory=dict[int, Path])
    space: Space | None = None

    @property
    def title(self) -> str:
        return f'The table "{printable(self.table, 100)}" in {printable(self.uri, 200)}'

    def opened(self) -> tuple[Any, About]:
        """The lancedb.Table, and what it says of itself. ValueError if it cannot be used, and why."""
        table = open_table(self.uri, self.table, self.storage_options, WHAT)
        return table, read_about(table.schema, self.title)


def connect(
    folder: str | os.PathLike[str],
    uri: str,
    table: str,
    *,
    storage_options: Mapping[str, str] | None = None,
    roots: Mapping[int, str | os.PathLike[str]] | None = None,
) -> Pointer:
    """Make a library in a folder of a LanceDB table: library.json says where that is. It may be connected anew.

    uri: a folder, or s3://BUCKET/FOLDER, or another address that LanceDB knows
    storage_options: {option of the store, such as aws_secret_access_key: the name of the environment variable that
        holds it}; variables such as AWS_ACCESS_KEY_ID are found without
    roots: {number of a root: the folder on this machine}, so that pictures themselves are found

    Raises:
        ValueError: lancedb is missing, the table cannot be used, or a library with own pictures is there.
        OSError: the file cannot be written.
    """
    folder = Path(folder)
    check_name(folder.name)
    if (folder / ABOUT).exists() and kind_of(folder) != KIND:
        raise ValueError(
            f'There is a library "{shown(folder)}" already, with pictures of its own: choose another name.'
        )
    pointer = Pointer(
        check_uri(uri), check_table(table), check_options(storage_options or {}), _checked_roots(roots or {})
    )
    _, about = pointer.opened()
    if unknown := [number for number in pointer.roots if number not in about.roots]:
        raise ValueError(f"{pointer.title} has no root {unknown[0]}: its roots are {_listed(about.roots)}.")
    pointer = Pointer(pointer.uri, pointer.table, pointer.storage_options, pointer.roots, about.space)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / ABOUT, [_written(pointer, about.space)])
    return pointer


def read_pointer(folder: Path) -> Pointer:
    """Where the table of the library in a folder is.

    Raises:
        FileNotFoundError: there is no library.
        ValueError: library.json is damaged, of a newer version, or of another kind.
    """
    name, data = shown(folder), _read(folder)
    if data.get("kind") != KIND:
        raise ValueError(f'The library "{name}" is not connected to a LanceDB table.')
    if data.get("format") != FORMAT:
        raise ValueError(
            f'The library "{name}" is of the format {printable(str(data.get("format")), 20)}, and this is {FORMAT}: '
            "update Image Prompt."
        )
    try:
        options, roots, space = data.get("storage_options", {}), data.get("roots", {}), data.get("space")
        return Pointer(
            check_uri(data["uri"]),
            check_table(data["table"]),
            {str(option): str(variable) for option, variable in options.items()},
            _checked_roots({int(number): str(path) for number, path in roots.items()}),
            None if space is None else Space.from_json(space),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f'The {ABOUT} of the library "{name}" is damaged: {why} Connect it anew.') from error


def kind_of(folder: Path) -> object:
    """What library.json says it is of; None if it says nothing."""
    try:
        return _read(folder).get("kind")
    except (OSError, ValueError):
        return None


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / ABOUT).is_file():
        raise FileNotFoundError(f"There is no library {shown(folder)}.")
    try:
        data: Any = json.loads((folder / ABOUT).read_bytes()[:LARGEST])
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'The {ABOUT} of the library "{shown(folder)}" is damaged ({error}). Connect it anew.'
        ) from error
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _written(pointer: Pointer, space: Space) -> bytes:
    data = {
        "format": FORMAT,
        "kind": KIND,
        "uri": pointer.uri,
        "table": pointer.table,
        "storage_options": dict(pointer.storage_options),
        "roots": {str(number): path.as_posix() for number, path in pointer.roots.items()},
        "space": space.as_json(),
    }
    return json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n"


def _checked_roots(roots: Mapping[int, str | os.PathLike[str]]) -> dict[int, Path]:
    checked = {number: Path(folder) for number, folder in roots.items()}
    for number, folder in checked.items():
        if not folder.is_absolute():
            shown_folder = printable(str(folder), 200)
            raise ValueError(
                f"The folder {shown_folder} of the root {number} is no whole path: give one from the drive on."
            )
    return checked


def _listed(roots: Mapping[int, str]) -> str:
    return ", ".join(f"{number} ({printable(path, 200)})" for number, path in roots.items()) or "none"
