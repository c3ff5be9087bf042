"""Answer the command "identify": what files are, by their headers, and which files made a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..model_files.catalogue import BrokenCatalogue, Catalogue
from ..model_files.folders import Installation
from ..model_files.index import Identity, identify
from ..model_files.index.index_cache import Known, load
from ..model_files.matching import identity_words
from ..model_files.pictures import MadeWith, Whereabouts, made_with, picture_format, whereabouts
from ..tensor_files import read_header
from .picture_text import lines
from .terminal import Answer, described, wrapped


class Place:
    """What an installation knows, each read when it is first needed.

    find: gives the installation. It may raise a ValueError or an OSError: files are then told by their headers, and
        those that made a picture are not looked for.
    """

    def __init__(self, find: Callable[[], Installation]):
        self._find = find

    @cached_property
    def installation(self) -> Installation:
        return self._find()

    @cached_property
    def known(self) -> Mapping[str, Known]:
        """What the index says about files. Nothing if there is none, or its folders are unknown."""
        try:
            file = self.installation.index_file
        except (ValueError, OSError):  # an extra_model_paths.yaml cannot be read
            return {}
        return load(file) if file else {}

    @cached_property
    def offered(self) -> frozenset[str]:
        """The ids that `get` takes: none while a catalogue of the user is broken."""
        try:
            return frozenset(entry.id for entry in Catalogue.load(*self.installation.catalogues).entries)
        except BrokenCatalogue:
            return frozenset()


def answer(files: Sequence[str], find: Callable[[], Installation]) -> Answer:
    """What each file is.

    find: gives the installation whose index knows files, and in whose folders those that made a picture are looked for
    """
    place = Place(find)
    found = [_answer(file, place) for file in files]
    code = int(any(each.code for each in found))
    return Answer([each.data for each in found], [line for each in found for line in each.lines], code)


def _answer(file: str, place: Place) -> Answer:
    try:
        kind = picture_format(file)
    except OSError:  # the reader of model files says it better
        kind = ""
    return _picture(file, kind, place) if kind else _model(file, place)


# -------------------------------------------------------------------------------------------------------- model files


def _model(file: str, place: Place) -> Answer:
    container, identity, problem = _look_into(file, place)
    told = identity and identity.to_dict()
    data = {"file": file, "container": container, "identity": told, "usable": not problem, "problem": problem}
    facts = [("what", identity_words(identity)), ("container", container)] if identity else []
    usable = ("usable", f"no: {problem}" if problem else "yes")
    return Answer(data, [*wrapped(file), *described([*facts, usable])], int(bool(problem)))


def _look_into(file: str, place: Place) -> tuple[str, Identity | None, str]:
    """(container, what it is, why it cannot be used)"""
    try:
        header = read_header(file)
        identity = _identity(file, place.known) or identify(header, file)
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


def _picture(file: str, kind: str, place: Place) -> Answer:
    data: dict[str, Any] = {"file": file, "container": kind, "identity": None, "usable": False, "made_with": None}
    try:
        if kind != "PNG":
            raise ValueError(f"This is a {kind} picture. Which files made it is read from PNG pictures only.")
        record = made_with(file)
    except (ValueError, OSError) as error:
        said = described([("what", f"a {kind} picture"), ("made with", f"not known: {error}")])
        return Answer({**data, "problem": str(error)}, [*wrapped(file), *said], 1)
    found = _whereabouts(record, place)
    told = [
        {**each, "here": here, "path": path} for each, (here, path) in zip(record.files, found, strict=bool(found))
    ] or record.files
    data["made_with"] = {"version": record.version, "files": told}
    return Answer({**data, "problem": ""}, [*wrapped(file), *lines(record, found)])


def _whereabouts(record: MadeWith, place: Place) -> list[Whereabouts]:
    try:
        folders = place.installation.folders
    except (ValueError, OSError) as error:  # an extra_model_paths.yaml cannot be read
        return [(f"not looked for: {error}", "")] * len(record.files)
    return whereabouts(record, folders, place.offered)
