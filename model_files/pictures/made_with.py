"""Read from a picture which model files it was made with, as the nodes wrote it beside the workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..folders import ModelFile, ModelFolders
from .png_text import NotReadable, read_text

CHUNK = "image_prompt"  # the keyword of the text in the picture
FILES = 1000  # more than any prompt loads
FIELDS = ("node", "kind", "folder", "name")  # texts that every file of a record has
ABSENT = (
    "This picture does not say which files made it: it was saved without metadata, by another program, or without this "
    "pack's loaders. Only PNG pictures as ComfyUI saves them say it."
)
BROKEN = "What this picture says of its files cannot be read: {}. It was changed by another program. Use the original."

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
    try:
        record: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotReadable(BROKEN.format("it is not JSON")) from error
    if problem := _problem(record):
        raise NotReadable(BROKEN.format(problem))
    return MadeWith(str(record.get("version") or "unknown"), record["files"])


def _problem(record: Any) -> str:
    """Why this is no record of files; an empty text if it is one."""
    files = cast("dict[str, Any]", record).get("files") if isinstance(record, dict) else None
    if not isinstance(files, list) or len(cast("list[Any]", files)) > FILES:
        return f"it has no list of at most {FILES} files"
    for file in cast("list[Any]", files):
        given = cast("dict[str, Any]", file) if isinstance(file, dict) else {}
        if any(not isinstance(given.get(name), str) for name in FIELDS):
            return f"a file has no {', '.join(FIELDS)}"
    return ""


def whereabouts(record: MadeWith, folders: ModelFolders) -> list[Whereabouts]:
    """Where the files of a record are on this disk; an empty list if no folder of models is known."""
    if not folders.types():
        return []
    here = {each: _scan(folders, each) for each in {file["folder"] for file in record.files}}
    return [_whereabouts(file, here[file["folder"]]) for file in record.files]


def _scan(folders: ModelFolders, model_type: str) -> list[ModelFile]:
    try:
        return folders.scan(model_type)
    except ValueError:  # a type of models that is not known here
        return []


def _whereabouts(file: Mapping[str, Any], here: list[ModelFile]) -> Whereabouts:
    size = file.get("size")
    named = next((each for each in here if each.name == file["name"]), None)
    if named and named.size == size:
        return "yes", str(named.path)
    if named:
        return f"no: the file of this name here has {named.size:,} bytes", ""
    if alike := next((each for each in here if each.size == size), None):
        return f"perhaps, as {alike.name}, which has the same size", str(alike.path)
    known = file.get("catalogue")
    return f"no. `get {known}` fetches it" if known else "no", ""
