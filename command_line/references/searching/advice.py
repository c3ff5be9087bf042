"""Answer the command "advise": what the nearest or best rated pictures of a library were made with."""

from __future__ import annotations

import argparse
from typing import Any

from ....model_files.folders import Installation
from ....references.metadata import Advice, Topic, Value, advise
from ...terminal import Answer, section, wrapped
from ..places import opened
from .hits import RATED
from .queries import query_in, usual

SHOWN = 5  # values of a topic, and sources of a value; --json has all


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    is_query = options.text is not None or options.image is not None
    if options.minimum is not None and not is_query:
        raise ValueError("--minimum is a score, and without --text or --image there is none: give one of them.")
    if not is_query and (given := _of_a_query(options)):
        raise ValueError(f"{given} is for what is near to something: give --text or --image as well.")
    asked, pictures = _nearest(options, where) if is_query else ({}, _best(options, where))
    advice = advise(pictures)
    return Answer({"library": options.name, "query": asked, **advice.as_json()}, _lines(advice, is_query))


def _of_a_query(options: argparse.Namespace) -> str:
    """An option that was given and does nothing without a query."""
    return "-k" if options.k is not None else "--encoder" if options.encoder is not None else ""


def _nearest(options: argparse.Namespace, where: Installation) -> tuple[dict[str, str], list[Any]]:
    """What was asked for, and the k nearest of the pictures that are not rated bad."""
    library = opened(where, options.name)
    asked, query = query_in(library, options, where, options.encoder)
    (found,) = library.search(query, usual(options.k), minimum=options.minimum, folder=options.folder, rating=0)
    return asked, library.pictures([hit.id for hit in found])


def _best(options: argparse.Namespace, where: Installation) -> list[Any]:
    library = opened(where, options.name)
    pictures = library.pictures(library.newest(library.count, folder=options.folder, rating=1))
    if not pictures:
        raise ValueError(
            f"No picture of the library {library.name!r} is rated 1. Rate some with `rate {library.name} PATH 1`, or "
            "give what they should be near to with --text or --image."
        )
    return pictures


def _lines(advice: Advice, near: bool) -> list[str]:
    which = "Nearest pictures that are not rated bad" if near else f"Pictures that are rated {RATED[1]}"
    head = f"{which}: {advice.pictures}. Of these say what made them: {advice.described}. These are counts, not rules."
    lines = [*wrapped(head), ""]
    for topic in advice.topics:
        title = f"{topic.title} (of {topic.said})"
        lines += section(title, [line for value in topic.values[:SHOWN] for line in _value(value, topic)])
    return lines


def _value(value: Value, topic: Topic) -> list[str]:
    rated = f", {value.liked} rated {RATED[1]}" if value.liked else ""
    spread = f", weight {_spread(value.weights)}" if value.weights else ""
    more = f" and {value.count - SHOWN} more" if value.count > SHOWN else ""
    return [
        *wrapped(f"{value.count}  {value.value}{spread}{rated}", "  ", "     "),
        *wrapped(f"{', '.join(value.sources[:SHOWN])}{more}", "     "),
    ]


def _spread(weights: tuple[float, float, float]) -> str:
    low, middle, high = weights
    return f"{low:g}" if low == high else f"{low:g} to {high:g}, median {middle:g}"
