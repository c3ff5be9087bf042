"""Answer the command "status": versions, optional parts, folders, and the index that is kept of model files."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from ..model_files.environment import PACK, OptionalPart, optional_parts, versions
from ..model_files.folders import Installation
from ..model_files.index.index_cache import count
from .terminal import Answer, ProgressLine, described, section


def answer(where: Installation) -> Answer:
    known, parts, counts, index = versions(), _parts(where), where.folders.counts(), _index(where)
    data = {
        "versions": known,
        "folder": str(PACK),
        "optional": [asdict(part) for part in parts],
        "folders": {
            model_type: {"files": count, "paths": [str(path) for path in where.folders.paths(model_type)]}
            for model_type, count in counts.items()
        },
        "index": index,
    }
    folders = [(model_type, f"{count}: {_paths(where, model_type)}") for model_type, count in counts.items()]
    return Answer(
        data,
        [
            *section(
                "Versions",
                described([*((name, text or "not installed") for name, text in known.items()), ("folder", str(PACK))]),
            ),
            *section("Optional parts", described([(part.name, str(part)) for part in parts])),
            *section("Files by type, and where they are searched for", described(folders)),
            *section(
                "Index of model files",
                described([("file", index["file"] or "none: no user folder of a ComfyUI"), ("state", index["state"])]),
            ),
        ],
    )


def _parts(where: Installation) -> list[OptionalPart]:
    line = ProgressLine()
    line.show("Trying whether optional parts can be imported")
    try:
        return optional_parts(where.index_file)
    finally:
        line.clear()


def _paths(where: Installation, model_type: str) -> str:
    return ", ".join(
        f"{path}{'' if os.path.isdir(path) else ' (does not exist)'}" for path in where.folders.paths(model_type)
    )


def _index(where: Installation) -> dict[str, Any]:
    file = where.index_file
    if file is None or not os.path.isfile(file):
        return {"file": file and str(file), "files": 0, "state": "not made yet: the first look makes it"}
    files = count(file)
    if files:
        state = f"knows {files} files"
    elif files == 0:  # only whether optional parts can be imported is kept so far
        state = "not made yet: the first look makes it"
    else:
        state = "empty, damaged, or of another version: the next look makes it anew"
    return {"file": str(file), "files": files or 0, "state": state}
