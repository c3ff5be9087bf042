"""Read weights that are typed in as text."""

from __future__ import annotations

import re

WEIGHT_LIMIT = 5.0  # in both directions, typed in or linked; in half precision, models fail at little more
QUOTED = 40  # characters that a message quotes of a text
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def number(word: str, low: float, high: float, what: str) -> float:
    """The number that a word says.

    what: what it is, as the words with which a sentence begins

    Raises:
        ValueError: the word is no number, or lies outside the limits.
    """
    value = float(word) if NUMBER.fullmatch(word) else None
    if value is None or not low <= value <= high:
        raise ValueError(f"{what} is {quoted(word)}: it must be a number between {low:g} and {high:g}, such as 0.5.")
    return value


def weight(word: str, what: str) -> float:
    """The weight that a word says: see `number`."""
    return number(word, -WEIGHT_LIMIT, WEIGHT_LIMIT, what)


def quoted(text: str) -> str:
    return repr(text if len(text) <= QUOTED else f"{text[:QUOTED]}...")


def written(value: float) -> str:
    """A number in as few digits as give it exactly, with a point only where it needs one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
