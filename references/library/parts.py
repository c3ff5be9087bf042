"""Vectors in files of at most 4,096 rows. Letters: R rows of a part, D numbers of a vector."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...tensor_files import UnusableFile
from ...tensor_files.safetensors_header import read_safetensors
from ...tensor_files.whole_files import write_whole

ROWS = 4096
FOLDER = "vectors"
PATTERN = "part-*.safetensors"

STORED = {"int64": ("I64", "<i8"), "float16": ("F16", "<f2"), "uint8": ("U8", "|u1")}  # safetensors' word, byte order

Vectors = npt.NDArray[np.float16]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """vectors (R, D) and ids (R,), in memory or mapped"""

    vectors: Vectors
    ids: Ids

    def sha256(self, rows: int) -> bytes:
        """Of the first rows."""
        whole = hashlib.sha256(np.ascontiguousarray(self.vectors[:rows]).data)
        whole.update(np.ascontiguousarray(self.ids[:rows]).data)
        return whole.digest()


def part_path(folder: Path, number: int) -> Path:
    """folder: of the library"""
    return folder / FOLDER / f"part-{number:05}.safetensors"


def write_part(folder: Path, number: int, part: Part) -> None:
    """Write a part, or replace one by a longer one that begins alike.

    The file is a safetensors file of the tensors `ids`, which come first so that all numbers are aligned, and
    `vectors`.
    """
    write_whole(part_path(folder, number), packed({"ids": part.ids, "vectors": part.vectors}))


def packed(arrays: Mapping[str, Any]) -> list[bytes | memoryview]:
    """The pieces of a safetensors file of arrays of numpy, in this order, equal for equal ones.

    arrays: of the types in STORED. Numbers are aligned if each but the last has a multiple of 8 bytes
    """
    header, data, end = dict[str, Any](), list[bytes | memoryview](), 0
    for name, array in arrays.items():
        word, order = STORED[array.dtype.name]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": word, "shape": list(array.shape), "data_offsets": [begin, end]}
        data.append(np.ascontiguousarray(array, order).data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *data]


def read_part(folder: Path, number: int, mapped: bool) -> Part:
    """mapped: whether the numbers stay in the file until they are needed. A part that may be replaced should not be.

    Raises:
        FileNotFoundError: there is no such part.
        UnusableFile: it is no part; the text begins with its name.
    """
    path = part_path(folder, number)
    try:
        raw = np.memmap(path, np.uint8, "r") if mapped else np.fromfile(path, np.uint8)
        return _parsed(np.asarray(raw))
    except UnusableFile as error:
        raise UnusableFile(f"{path.name} {error}") from error
    except ValueError as error:  # of an empty file, which cannot be mapped
        raise UnusableFile(f"{path.name} is damaged: {error}.") from error


def pairs(rows: Sequence[Sequence[int]]) -> Ids:
    """Rows of two numbers as an array (n, 2), also if there are none."""
    table: Any = np.fromiter(chain.from_iterable(rows), np.int64, 2 * len(rows))  # three times as fast as `np.array`
    return table.reshape(-1, 2)


def _parsed(raw: Any) -> Part:
    head = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    tensors, starts, _ = read_safetensors(io.BytesIO(raw[:head].tobytes()), len(raw))
    found = {name: (info.dtype, len(info.shape)) for name, info in tensors.items()}
    if found != {"ids": ("I64", 1), "vectors": ("F16", 2)}:
        raise UnusableFile("does not hold ids and vectors of pictures.")
    (count, dimension), (ids,) = tensors["vectors"].shape, tensors["ids"].shape
    if count != ids:
        raise UnusableFile(f"is damaged: it holds {count} vectors for {ids} ids.")
    return Part(
        raw[starts["vectors"] :][: count * dimension * 2].view("<f2").reshape(count, dimension),
        raw[starts["ids"] :][: count * 8].view("<i8"),
    )
