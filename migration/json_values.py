"""What a file holds, as values of known types: files are written by many programs, and edited by hand."""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]
FARTHEST = 1e9  # pixels from where a workflow begins


def members(value: object) -> Json:
    """A JSON object as it is in the file; an empty one if the value is none."""
    return cast(Json, value) if isinstance(value, dict) else {}


def entries(value: object) -> list[Any]:
    """A JSON list; an empty one if the value is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(value: object) -> list[Json]:
    """The JSON objects in a list."""
    return [cast(Json, each) for each in entries(value) if isinstance(each, dict)]


def places(value: object) -> list[float]:
    """The numbers in a JSON list; an empty list if not all are numbers that a place or a size can have."""
    found = entries(value)
    good = all(isinstance(each, int | float) and -FARTHEST <= each <= FARTHEST for each in found)
    return found if good else []
