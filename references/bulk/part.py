"""What came of a shard: a row for each of its files, and the vectors of those that have one.

It is a safetensors file of the tensors `rows`, the text of JSON, and `vectors`. Letters: n vectors, D numbers of each.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ...tensor_files import UnusableFile, printable
from ...tensor_files.safetensors_header import read_safetensors
from ..library.parts import packed

Vectors = npt.NDArray[np.float16]  # (n, D), as the library keeps them


@dataclass(frozen=True)
class Row:
    """A file of a shard; the fields of a picture are as in `references.library.Picture`.

    error: why it has no vector
    touched: whether it has no vector because the library has it, with another time
    """

    error: str = ""
    touched: bool = False
    sha256: str = ""
    width: int = 0
    height: int = 0
    hash64: int | None = None
    kind: str = "image"
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def has_vector(self) -> bool:
        return not self.error and not self.touched

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value != getattr(NOTHING, name)}


NOTHING = Row()
TYPES: dict[str, Any] = {
    **{name: type(value) for name, value in vars(NOTHING).items()},
    "hash64": int | None,
}


def pack(rows: Sequence[Row], vectors: Vectors) -> bytes:
    """The bytes of a part, which are equal for equal rows and vectors (n, D)."""
    text = json.dumps([row.as_json() for row in rows], sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    return b"".join(packed({"rows": np.frombuffer(text, np.uint8), "vectors": vectors}))


def unpack(data: bytes, files: int, dimension: int) -> tuple[list[Row], Vectors]:
    """The rows and the vectors of a part.

    Raises:
        UnusableFile: it is damaged, or not of so many files and numbers.
    """
    tensors, starts, _ = read_safetensors(io.BytesIO(data), len(data))
    found = {name: (info.dtype, len(info.shape)) for name, info in tensors.items()}
    if found != {"rows": ("U8", 1), "vectors": ("F16", 2)}:
        raise UnusableFile("does not hold the rows and vectors of a part.")
    begin, count = starts["rows"], tensors["rows"].shape[0]
    try:
        listed = cast("list[dict[str, Any]]", json.loads(data[begin : begin + count]))
        rows = [_row(each) for each in listed]
    except (ValueError, TypeError, RecursionError) as error:
        raise UnusableFile(
            f"is damaged: its rows are not what they should be ({printable(str(error), 100)})."
        ) from error
    shape = tensors["vectors"].shape
    if (len(rows), sum(row.has_vector for row in rows), dimension) != (files, *shape):
        raise UnusableFile(f"is damaged: {len(rows)} rows and {shape} numbers do not fit to {files} files.")
    numbers: Any = np.frombuffer(data, "<f2", shape[0] * dimension, starts["vectors"])
    return rows, numbers.reshape(shape)


def _row(given: dict[str, Any]) -> Row:
    """A row as `Row.as_json` wrote it. TypeError if it is another."""
    row = Row(**given)
    if wrong := [name for name, value in vars(row).items() if not isinstance(value, TYPES[name])]:
        raise TypeError(f"{wrong[0]} is {given[wrong[0]]!r:.40}")
    return row
