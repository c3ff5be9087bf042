"""Answer the command "identify": what files are, by their headers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...tensor_files import read_header
from ..index import Identity, identify
from ..matching import identity_words
from .terminal import Answer, described, wrapped


def answer(files: Sequence[str]) -> Answer:
    found = [(file, *_look_into(file)) for file in files]
    unusable = any(problem for _, _, _, problem in found)
    return Answer([_data(*row) for row in found], [line for row in found for line in _lines(*row)], int(unusable))


def _look_into(file: str) -> tuple[str, Identity | None, str]:
    """(container, what it is, why it cannot be used)"""
    try:
        header = read_header(file)
        identity = identify(header, os.path.basename(file))
    except FileNotFoundError:
        return "", None, "There is no such file."
    except (ValueError, OSError) as error:
        return "", None, str(error)
    return header.container, identity, identity.problem


def _data(file: str, container: str, identity: Identity | None, problem: str) -> dict[str, object]:
    known = identity and identity.to_dict()
    return {"file": file, "container": container, "identity": known, "usable": not problem, "problem": problem}


def _lines(file: str, container: str, identity: Identity | None, problem: str) -> list[str]:
    facts = [("what", identity_words(identity)), ("container", container)] if identity else []
    return [*wrapped(file), *described([*facts, ("usable", f"no: {problem}" if problem else "yes")])]
