"""Answer the command "identify": what files are, by their headers, and which files made a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...tensor_files import read_header
from ..folders import Installation, ModelFolders
from ..index import Identity, identify
from ..index.index_cache import Known, load
from ..matching import identity_words
from ..pictures import made_with, picture_format, whereabouts
from .picture_text import lines
from .terminal import Answer, described, wrapped


def answer(files: Sequence[str], folders: Callable[[], ModelFolders] = ModelFolders) -> Answer:
    """What each file is.

    folders: gives the folders in which the files that made a picture are looked for, and is asked only for a picture
    """
    known = _known()
    found = [_answer(file, folders, known) for file in files]
    code = int(any(each.code for each in found))
    return Answer([each.data for each in found], [line for each in found for line in each.lines], code)


def _answer(file: str, folders: Callable[[], ModelFolders], known: Mapping[str, Known]) -> Answer:
    try:
        kind = picture_format(file)
    except OSError:  # the reader of model files says it better
        kind = ""
    return _picture(file, kind, folders) if kind else _model(file, known)


# -------------------------------------------------------------------------------------------------------- model files


def _model(file: str, known: Mapping[str, Known]) -> Answer:
    container, identity, problem = _look_into(file, known)
    told = identity and identity.to_dict()
    data = {"file": file, "container": container, "identity": told, "usable": not problem, "problem": problem}
    facts = [("what", identity_words(identity)), ("container", container)] if identity else []
    usable = ("usable", f"no: {problem}" if problem else "yes")
    return Answer(data, [*wrapped(file), *described([*facts, usable])], int(bool(problem)))


def _known() -> Mapping[str, Known]:
    """What the index of the installation says about its files. Nothing if there is none, or its folders are unknown."""
    try:
        file = Installation.find(needed=False).index_file
    except (ValueError, OSError):  # an extra_model_paths.yaml cannot be read
        return {}
    return load(file) if file else {}


def _look_into(file: str, known: Mapping[str, Known]) -> tuple[str, Identity | None, str]:
    """(container, what it is, why it cannot be used)"""
    try:
        header = read_header(file)
        identity = _identity(file, known) or identify(header, os.path.basename(file))
    except FileNotFoundError:
        return "", None, "There is no such file."
    except (ValueError, OSError) as error:
        return "", None, str(error)
    return header.container, identity, identity.problem


def _identity(file: str, known: Mapping[str, Known]) -> Identity | None:
    """What the index says that a file is, if the file has not changed since: that takes no torch."""
    status = os.stat(file)
    folder, name = os.path.split(os.path.abspath(file))
    for path in (folder, os.path.realpath(folder)):
        found = known.get(os.path.join(path, name))
        if found and (found.size, found.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return found.identity
    return None


# ----------------------------------------------------------------------------------------------------------- pictures


def _picture(file: str, kind: str, folders: Callable[[], ModelFolders]) -> Answer:
    data: dict[str, Any] = {"file": file, "container": kind, "identity": None, "usable": False, "made_with": None}
    try:
        if kind != "PNG":
            raise ValueError(f"This is a {kind} picture. Which files made it is read from PNG pictures only.")
        record = made_with(file)
    except (ValueError, OSError) as error:
        said = described([("what", f"a {kind} picture"), ("made with", f"not known: {error}")])
        return Answer({**data, "problem": str(error)}, [*wrapped(file), *said], 1)
    found = whereabouts(record, folders())
    told = [
        {**each, "here": here, "path": path} for each, (here, path) in zip(record.files, found, strict=bool(found))
    ] or record.files
    data["made_with"] = {"version": record.version, "files": told}
    return Answer({**data, "problem": ""}, [*wrapped(file), *lines(record, found)])
