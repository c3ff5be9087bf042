"""Read a list of pictures: a JSON file with the path, the text and the metadata of each.

[{"path": "cats/tom.png", "text": "a cat on a mat", "metadata": {"album": 3}}, "dogs/rex.jpg"]
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ...tensor_files import printable
from ..library.picture import as_text, packed
from .walk import LATEST, Entry, Walked, root_above

LARGEST = 1 << 30  # bytes of a list
DEEPEST = 100  # levels of metadata: whatever reads them later can follow these
EXPECTED = (
    'A list is a JSON file such as [{"path": "cats/tom.png", "text": "a cat", "metadata": {"album": 3}}], with paths '
    "from the folder of the list on, or whole ones."
)


@dataclass(frozen=True)
class Said:
    """What a list says of a picture."""

    text: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


Entries = list[tuple[str, Said]]


@dataclass(frozen=True)
class Listed:
    """order: the files in the order of the list, each once; absent: (path, why) of those that cannot be read"""

    order: dict[tuple[Path, str], Said]
    walked: Walked
    absent: list[tuple[Path, str]]


def read_list(folder: Path, entries: Entries, roots: Collection[Path]) -> Listed:
    """What a list says, and the size and time of each of its files.

    folder: that the list is in
    roots: those that are known; other files belong to the folder of the list, or to the deepest folder above all
        that are not below it
    """
    said = dict[Path, Said]()
    for name, each in entries:  # of a path that is listed twice, the first counts
        said.setdefault(Path(os.path.normpath(folder / name)), each)
    places = [*roots, folder]
    if elsewhere := [str(each.parent) for each in said if root_above(each, places) is None]:
        places += _common(elsewhere)
    order, walked, absent = dict[tuple[Path, str], Said](), Walked(), list[tuple[Path, str]]()
    for each, what in said.items():
        root = root_above(each.parent, places) or each.parent
        entry = _entry(each, root)
        if isinstance(entry, str):
            absent.append((each, entry))
            continue
        walked.files.setdefault(root, []).append(entry)
        order[root, entry[0]] = what
    return Listed(order, walked, absent)


def _common(folders: list[str]) -> list[Path]:
    """The folder above all of these; themselves if only a drive is above all."""
    try:
        common = Path(os.path.commonpath(folders))
    except ValueError:  # of two drives, on Windows
        return [Path(folder) for folder in folders]
    return [common] if common.parent != common else [Path(folder) for folder in folders]


def _entry(path: Path, root: Path) -> Entry | str:
    """The file, or why it cannot be read."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f"It is not there, or cannot be read: {error.strerror or error}."
    except UnicodeError:
        return "Its name is not text, so that no file can have it."
    if not stat.S_ISREG(status.st_mode):
        return "It is no file."
    return path.relative_to(root).as_posix(), status.st_size, min(status.st_mtime_ns, LATEST)


def list_entries(path: Path) -> Entries:
    """(path, what is said of it) of each entry of a list. ValueError if the file is no list."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        data: Any = json.loads(path.read_bytes(), parse_constant=lambda name: None)  # NaN is no JSON
    except OSError as error:
        raise ValueError(f"{path} is not there, or cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        why = "it nests too deep" if isinstance(error, RecursionError) else printable(str(error), 200)
        raise ValueError(f"{printable(path.name)} is no list of pictures: {why}. {EXPECTED}") from error
    if not isinstance(data, list):
        raise ValueError(f"{printable(path.name)} is no list of pictures. {EXPECTED}")
    return [_said(path, number, each) for number, each in enumerate(cast("list[Any]", data), start=1)]


def _said(path: Path, number: int, given: Any) -> tuple[str, Said]:
    table = cast("dict[str, Any]", given) if isinstance(given, dict) else {"path": given}
    name, text, metadata = table.get("path"), table.get("text", ""), table.get("metadata", {})
    if (
        not isinstance(name, str)
        or not name
        or "\0" in name
        or not isinstance(text, str)
        or not isinstance(metadata, dict)
    ):
        raise ValueError(f"Entry {number} of {printable(path.name)} does not say which picture it is of. {EXPECTED}")
    more = {key: value for key, value in table.items() if key not in ("path", "text", "metadata")}
    kept = {**more, **cast("dict[str, Any]", metadata)}
    if _is_deeper(kept, DEEPEST):
        raise ValueError(
            f"The metadata of entry {number} of {printable(path.name)} nest too deep: {DEEPEST} levels are the most."
        )
    return name, Said(as_text(text), json.loads(packed(kept)))


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether tables and lists are in each other on more levels."""
    layer = [value]
    while levels >= 0 and layer:
        layer = [inner for each in layer for inner in _inside(each)]
        levels -= 1
    return bool(layer)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()
