"""Read from a picture which model files it was made with, as the nodes wrote it beside the workflow."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..catalogue.catalogue_file import RULES, Check
from ..folders import ModelFile, ModelFolders
from .png_text import NotReadable, read_text

CHUNK = "image_prompt"  # the keyword of the text in the picture
LONGEST = 1 << 20  # characters of a record: those of a thousand files have fewer
FILES = 1000  # more than any prompt loads
ABSENT = (
    "This picture does not say which files made it: it was saved without metadata, by another program, or without this "
    "pack's loaders. Only PNG pictures as ComfyUI saves them say it."
)
BROKEN = "What this picture says of its files cannot be read: {}. It was changed by another program. Use the original."


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 4096  # no path is longer


def _is_id(value: Any) -> bool:
    return _is_text(value) and RULES["id"].allows(value)


NEEDED: Mapping[str, Check] = dict.fromkeys(("node", "kind", "folder", "name"), _is_text)
FIELDS: Mapping[str, Check] = {  # of a file; what later versions may add is left out
    **NEEDED,
    **dict.fromkeys(("family", "base_model", "encoder", "dtype"), _is_text),
    "size": RULES["size"].allows,
    "catalogue": _is_id,
}

Whereabouts = tuple[str, str]  # whether a file is on this disk, in words, and its path if it is


@dataclass(frozen=True)
class MadeWith:
    """What a picture says of the files that it was made with."""

    version: str  # of the pack
    files: list[dict[str, Any]]


def made_with(path: str | Path) -> MadeWith:
    """What a PNG picture says of the files that it was made with.

    Raises:
        ValueError: it does not say so, or it is damaged.
    """
    text = read_text(path, CHUNK)
    if text is None:
        raise ValueError(ABSENT)
    if len(text) > LONGEST:
        raise NotReadable(BROKEN.format(f"it is longer than {LONGEST:,} characters"))
    try:
        record: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotReadable(BROKEN.format("it is not JSON")) from error
    if problem := _problem(record):
        raise NotReadable(BROKEN.format(problem))
    files = [{name: value for name, value in file.items() if name in FIELDS} for file in record["files"]]
    return MadeWith(record.get("version") or "unknown", files)


def _problem(record: Any) -> str:
    """Why this is no record of files; an empty text if it is one."""
    given = cast("dict[str, Any]", record) if isinstance(record, dict) else {}
    files = given.get("files")
    if not isinstance(files, list) or len(cast("list[Any]", files)) > FILES:
        return f"it has no list of at most {FILES} files"
    if not _is_text(given.get("version") or ""):
        return "its version is not as this pack writes it"
    return next((problem for each in cast("list[Any]", files) if (problem := _problem_of_file(each))), "")


def _problem_of_file(file: Any) -> str:
    given = cast("dict[str, Any]", file) if isinstance(file, dict) else {}
    if not given.keys() >= NEEDED.keys():
        return f"a file has no {', '.join(NEEDED)}"
    wrong = next((name for name, allows in FIELDS.items() if name in given and not allows(given[name])), "")
    return wrong and f"the {wrong} of a file is not as this pack writes it"


def whereabouts(record: MadeWith, folders: ModelFolders, offered: Container[str] = ()) -> list[Whereabouts]:
    """Where the files of a record are on this disk; an empty list if no folder of models is known.

    offered: ids of the entries of the catalogue here
    """
    if not folders.types():
        return []
    here = {each: _scan(folders, each) for each in {file["folder"] for file in record.files}}
    return [_whereabouts(file, here[file["folder"]], offered) for file in record.files]


def _scan(folders: ModelFolders, model_type: str) -> list[ModelFile]:
    try:
        return folders.scan(model_type)
    except ValueError:  # a type of models that is not known here
        return []


def _whereabouts(file: Mapping[str, Any], here: list[ModelFile], offered: Container[str]) -> Whereabouts:
    size = file.get("size")
    named = next((each for each in here if each.name == file["name"]), None)
    if named and named.size == size:
        return "yes", str(named.path)
    if named:
        return f"no: the file of this name here has {named.size:,} bytes", ""
    if alike := next((each for each in here if each.size == size), None):
        return f"perhaps, as {alike.name}, which has the same size", str(alike.path)
    known = file.get("catalogue", "")
    return f"no. `get {known}` fetches it" if known in offered else "no", ""
