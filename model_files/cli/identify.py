"""Answer the command "identify": what files are, by their headers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ...tensor_files import read_header
from ..folders import Installation
from ..index import Identity, identify
from ..index.index_cache import Known, load
from ..matching import identity_words
from .terminal import Answer, described, wrapped


def answer(files: Sequence[str]) -> Answer:
    known = _known()
    found = [(file, *_look_into(file, known)) for file in files]
    unusable = any(problem for _, _, _, problem in found)
    return Answer([_data(*row) for row in found], [line for row in found for line in _lines(*row)], int(unusable))


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


def _data(file: str, container: str, identity: Identity | None, problem: str) -> dict[str, object]:
    known = identity and identity.to_dict()
    return {"file": file, "container": container, "identity": known, "usable": not problem, "problem": problem}


def _lines(file: str, container: str, identity: Identity | None, problem: str) -> list[str]:
    facts = [("what", identity_words(identity)), ("container", container)] if identity else []
    return [*wrapped(file), *described([*facts, ("usable", f"no: {problem}" if problem else "yes")])]
