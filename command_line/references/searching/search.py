"""Answer the command "search": the pictures of a library that are nearest to a text or to a picture."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ....model_files.folders import Installation
from ....tensor_files import printable
from ...terminal import Answer, wrapped
from ..places import opened
from . import hits
from .queries import query_in, usual

if TYPE_CHECKING:
    from ....references.search import FusedHit, Searchable


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    names = [options.name, *options.fuse]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"The library {printable(twice)!r} is given twice: --fuse takes another one.")
    if len(options.encoder) > len(names):
        count = f"{len(names)} librar{'y' if len(names) == 1 else 'ies'}"
        raise ValueError(
            f"--encoder is given {len(options.encoder)} times for {count}: give it once for each at most, first for "
            "NAME."
        )
    return _fused(names, options, where) if options.fuse else _alone(options, where)


def _alone(options: argparse.Namespace, where: Installation) -> Answer:
    library = opened(where, options.name)
    asked, query = query_in(library, options, where, *options.encoder)
    (found,) = library.search(query, usual(options.k), minimum=options.minimum, folder=options.folder)
    rows = hits.rows(library, found)
    data = {"library": library.name, "space": library.space.as_json(), "query": asked, "hits": rows}
    return Answer(data, hits.lines(library, rows) or wrapped(_nothing(library.count, options)))


def _fused(names: list[str], options: argparse.Namespace, where: Installation) -> Answer:
    """The same question asked of several libraries. No more than one encoder is loaded at a time."""
    from ....references.search import search_fused

    libraries = [opened(where, name) for name in names]
    given = [*options.encoder, *([None] * (len(names) - len(options.encoder)))]
    asked = [query_in(each, options, where, encoder) for each, encoder in zip(libraries, given, strict=True)]
    queries = [query for _, query in asked]
    found = search_fused(libraries, queries, usual(options.k), minimum=options.minimum, folder=options.folder)
    rows = [_row(libraries, each) for each in found]
    data = {
        "libraries": [{"library": each.name, "space": each.space.as_json()} for each in libraries],
        "query": asked[0][0],
        "hits": rows,
    }
    lines = [line for row in rows for line in _lines(libraries, row)]
    return Answer(data, lines or wrapped(_nothing(max(each.count for each in libraries), options)))


def _row(libraries: list[Searchable], found: FusedHit) -> dict[str, Any]:
    """The picture as the first library that has it among its hits knows it, and where it stands in each."""
    library, hit = next((a, b) for a, b in zip(libraries, found.hits, strict=True) if b is not None)
    standings = [
        {"library": each.name, "rank": hit and hit.rank, "score": hit and round(hit.score, 6)}
        for each, hit in zip(libraries, found.hits, strict=True)
    ]
    known = hits.row(library, library.picture(hit.id))
    return {
        "rank": found.rank,
        "score": round(found.score, 6),
        "library": library.name,
        **known,
        "standings": standings,
    }


def _lines(libraries: list[Searchable], row: dict[str, Any]) -> list[str]:
    library = next(each for each in libraries if each.name == row["library"])
    named = row if library is libraries[0] else {**row, "path": row["file"] or row["path"]}
    first, *others = hits.lines(library, [named])
    standings = "; ".join(_standing(each) for each in row["standings"])
    return [first, *wrapped(standings, " " * 9), *others]


def _standing(each: dict[str, Any]) -> str:
    if each["rank"] is None:
        return f"{each['library']}: not found"
    return f"{each['library']}: rank {each['rank']}, {each['score']:.4f}"


def _nothing(count: int, options: argparse.Namespace) -> str:
    if not count:
        return f"The library {options.name!r} has no pictures. `embed FOLDER --library {options.name}` adds some."
    limit = "" if options.minimum is None else f" with a score of {options.minimum:g} or more"
    place = "" if options.folder is None else f" in the folder {options.folder!r}"
    return f"The library {options.name!r} has no picture{limit}{place}."
