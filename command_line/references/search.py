"""Answer the command "search": the pictures of a library that are nearest to a text or to a picture."""

from __future__ import annotations

import argparse

from ...model_files.folders import Installation
from ..terminal import Answer, wrapped
from . import hits
from .places import opened
from .queries import query_in


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    library = opened(where, options.name)
    asked, query = query_in(library, options, where)
    (found,) = library.search(query, options.k, minimum=options.minimum, folder=options.folder)
    rows = hits.rows(library, found)
    data = {"library": library.name, "space": library.space.as_json(), "query": asked, "hits": rows}
    return Answer(data, hits.lines(library, rows) or wrapped(_nothing(library.count, options)))


def _nothing(count: int, options: argparse.Namespace) -> str:
    if not count:
        return f"The library {options.name!r} has no pictures. `embed FOLDER --library {options.name}` adds some."
    limit = "" if options.minimum is None else f" with a score of {options.minimum:g} or more"
    place = "" if options.folder is None else f" in the folder {options.folder!r}"
    return f"The library {options.name!r} has no picture{limit}{place}."
