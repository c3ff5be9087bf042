"""What a table says of itself. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ...tensor_files import printable
from ..exports.arrow import COLUMNS, KEY, VECTOR
from ..exports.source import FORMAT
from ..space import Space

UNKNOWN = "it does not say which encoder its vectors are of"


@dataclass(frozen=True)
class About:
    """exported: seconds since 1970
    roots: {number: the folder that paths are below, where it was exported}
    """

    space: Space
    encoder_sha256: str
    exported: int
    roots: Mapping[int, str]


def read_about(schema: Any, where: str) -> About:
    """What a table with this pyarrow.Schema says of itself. where: which one, for messages.

    Raises:
        ValueError: it was not exported from a library, or by a newer version.
    """
    table = _table(schema, where)
    if table.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"{where} is of the format {printable(str(table['format']), 20)}, and this is {FORMAT}: update Image "
            "Prompt."
        )
    try:
        roots = {int(number): str(path) for number, path in table["roots"].items()}
        space = Space.from_json(table["space"])
        about = About(space, str(table["encoder_sha256"]), int(table.get("exported", 0)), roots)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise _strange(where, UNKNOWN) from error
    if missing := [name for name in (*COLUMNS, VECTOR) if name not in schema.names]:
        raise _strange(where, f"it has no column {missing[0]}")
    if wrong := [name for name, kind in COLUMNS.items() if str(schema.field(name).type) != kind]:
        raise _strange(where, f"its column {wrong[0]} is of the type {printable(str(schema.field(wrong[0]).type), 60)}")
    vector = schema.field(VECTOR).type
    if getattr(vector, "list_size", None) != space.dimension or str(vector.value_type) not in ("halffloat", "float"):
        raise _strange(where, f"its vectors are {printable(str(vector), 60)}, and not of {space.title}")
    return about


def _table(schema: Any, where: str) -> dict[str, Any]:
    metadata: dict[bytes, bytes] = schema.metadata or {}
    try:
        found: Any = json.loads(metadata[KEY])
    except (KeyError, ValueError, RecursionError) as error:
        raise _strange(where, UNKNOWN) from error
    if not isinstance(found, dict):
        raise _strange(where, UNKNOWN)
    return cast("dict[str, Any]", found)


def _strange(where: str, why: str) -> ValueError:
    return ValueError(
        f"{where} was not exported from a library: {why}. Export a library with `library export`, and connect that."
    )
