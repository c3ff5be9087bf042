"""Answer the command "status": versions, optional parts, folders, and the index that is kept of model files."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from ..folders import Installation
from .environment import PACK, optional_parts, versions
from .terminal import Answer, described, section


def answer(where: Installation) -> Answer:
    known, parts, counts, index = versions(), list(optional_parts()), where.folders.counts(), _index(where)
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
            *section(
                "Optional parts",
                described([(part.name, f"{'' if part.present else 'absent: '}{part.detail}") for part in parts]),
            ),
            *section("Files by type, and where they are searched for", described(folders)),
            *section(
                "Index of model files",
                described([("file", index["file"] or "none: no user folder of a ComfyUI"), ("state", index["state"])]),
            ),
        ],
    )


def _paths(where: Installation, model_type: str) -> str:
    return ", ".join(
        f"{path}{'' if os.path.isdir(path) else ' (does not exist)'}" for path in where.folders.paths(model_type)
    )


def _index(where: Installation) -> dict[str, Any]:
    file = where.index_file
    if file is None or not os.path.isfile(file):
        return {"file": file and str(file), "files": 0, "state": "not made yet: the first look makes it"}
    try:
        from ..index.index_cache import load
    except ImportError as error:
        return {"file": str(file), "files": 0, "state": f"cannot be read here: {error}"}
    files = len(load(file))
    state = f"knows {files} files" if files else "empty, damaged, or of another version: the next look makes it anew"
    return {"file": str(file), "files": files, "state": state}
