"""What a file holds, as values of known types: files are written by many programs, and edited by hand."""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]


def members(value: object) -> Json:
    """A JSON object as it is in the file; an empty one if the value is none."""
    return cast(Json, value) if isinstance(value, dict) else {}


def entries(value: object) -> list[Any]:
    """A JSON list; an empty one if the value is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(value: object) -> list[Json]:
    """The JSON objects in a list."""
    return [cast(Json, each) for each in entries(value) if isinstance(each, dict)]
