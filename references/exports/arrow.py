"""The columns of a table of pictures. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from ..library import Picture
from ..packages import load
from .source import Exportable, Progress, about, batches

Dtype = Literal["float16", "float32"]
KEY = b"image_prompt"  # of what a table says of itself: `source.about` as JSON
VECTOR = "vector"
COLUMNS = {  # name -> type in Arrow; hash64 alone may be missing; metadata is JSON
    "id": "int64",
    "root": "int64",
    "path": "string",
    "size": "int64",
    "mtime_ns": "int64",
    "sha256": "string",
    "width": "int32",
    "height": "int32",
    "hash64": "uint64",
    "kind": "string",
    "text": "string",
    "metadata": "string",
    "rating": "int8",
}
TYPES = {"float16": "float16", "float32": "float32"}
DTYPES: dict[Dtype, str] = {"float16": "<f2", "float32": "<f4"}


def check_dtype(dtype: str) -> None:
    if dtype not in TYPES:
        raise ValueError(f"Vectors are exported as {' or '.join(TYPES)}, not {dtype!r:.40}.")


def record_batches(library: Exportable, schema: Any, on_progress: Progress | None) -> Iterator[Any]:
    for pictures, vectors in batches(library, on_progress):
        yield _batch(pictures, vectors, schema)


def table_schema(library: Exportable, dtype: Dtype, what: str, **more: object) -> Any:
    """The pyarrow.Schema of a library. more: is said of it besides. ValueError if pyarrow is missing."""
    check_dtype(dtype)
    arrow = load("pyarrow", what)
    fields = [arrow.field(name, getattr(arrow, kind)(), nullable=name == "hash64") for name, kind in COLUMNS.items()]
    vector = arrow.list_(arrow.field("item", getattr(arrow, TYPES[dtype])(), nullable=False), library.space.dimension)
    fields.append(arrow.field(VECTOR, vector, nullable=False))
    return arrow.schema(fields, metadata={KEY: json.dumps({**about(library), **more}).encode()})


def _batch(pictures: list[Picture], vectors: Any, schema: Any) -> Any:
    arrow = load("pyarrow", "A table")
    columns = [
        arrow.array([_value(picture, field.name) for picture in pictures], field.type)
        for field in schema
        if field.name != VECTOR
    ]
    kind = schema.field(VECTOR).type
    numbers = arrow.array(vectors.reshape(-1).astype(kind.value_type.to_pandas_dtype()))
    columns.append(arrow.FixedSizeListArray.from_arrays(numbers, type=kind))
    return arrow.RecordBatch.from_arrays(columns, schema=schema)


def _value(picture: Picture, name: str) -> object:
    value = getattr(picture, name)
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if name == "metadata" else value
