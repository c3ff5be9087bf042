"""Read and check the header of a safetensors file, which is 8 bytes of length and then JSON, without the data."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, BinaryIO, cast

from .tensor_info import (
    DTYPE_BITS,
    MAX_TENSORS,
    TensorInfo,
    UnusableFile,
    cut_short,
    damaged,
    is_shape,
    quoted,
    too_large,
)
from .usual_entries import usual_entries

# The format allows 100 MB; published headers stay below 2 MB. Long texts parse fast, many small values slowly.
MAX_HEADER = 16 << 20
MAX_VALUES = 7 * MAX_TENSORS  # a tensor is a name, a dtype, a shape of about two, and two offsets
METADATA = "__metadata__"
MAX_NESTING = 4  # the table, a tensor and its shape, and one level to spare
CONTROL = bytes(range(32))
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

Table = dict[str, Any]
Found = tuple[dict[str, TensorInfo], dict[str, int], dict[str, str]]
Content = tuple[dict[str, TensorInfo], dict[str, int], dict[str, str], int]  # and where the data end


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file begins with a length below 2^56 and then the start of JSON, as no text and no archive does."""
    return b"\0" in head[:8] and head[8:9] == b"{"


def read_safetensors(file: BinaryIO, size: int) -> Found:
    """(the tensors, where in the file the data of each begin, the metadata)"""
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise too_large(f"its header is {length:,} bytes long")
    raw = file.read(length)
    if len(raw) < length:
        raise cut_short(size, 8 + length)
    tensors, starts, metadata, end = _usual(raw) or _any(raw)
    if size < 8 + length + end:
        raise cut_short(size, 8 + length + end)
    if size > 8 + length + end:
        raise damaged(f"{size - 8 - length - end:,} bytes follow after its last tensor")
    return tensors, {name: 8 + length + start for name, start in starts.items()}, metadata


def _usual(raw: bytes) -> Content | None:
    """What `_any` says of a header, if it is written in the usual way and nothing is wrong with it; else None."""
    if _has_many(raw) or len(raw.translate(None, CONTROL)) < len(raw):
        return None
    try:
        entries = usual_entries(raw.decode())
        if entries is None or METADATA in entries.tensors:
            return None
        before, _, metadata, _ = _any(_table(entries.head.rstrip(" ")).encode())
    except (UnicodeDecodeError, UnusableFile):
        return None
    return None if before else (entries.tensors, entries.starts, metadata, entries.end)


def _has_many(raw: bytes) -> bool:
    """Whether there may be more values than `_any` reads."""
    return len(raw) > MAX_VALUES and (raw.count(b",") > MAX_VALUES or raw.count(b'"') > 2 * MAX_VALUES)


def _table(head: str) -> str:
    """What comes before the tensors, as a whole table, which is damaged unless it is metadata or nothing."""
    return "{}" if head == "{" else f"{head[:-1]}}}" if head.endswith("},") else ""


def _any(raw: bytes) -> Content:
    header = _parse(raw)
    metadata = _metadata(header.pop(METADATA, None))
    tensors, starts, end = _tensors(header)
    _check_letters([*tensors, *metadata, *metadata.values()])
    return tensors, starts, metadata, end


def _parse(raw: bytes) -> dict[str, Any]:
    _check_structure(raw)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_int=_integer)
    except ValueError as error:
        raise damaged(f"its header is not the JSON it should be ({error})") from error
    if not isinstance(header, dict):
        raise damaged("its header is not a table of tensors")
    return header  # pyright: ignore[reportUnknownVariableType]


def _check_structure(raw: bytes) -> None:
    """Refuse JSON with too many values, which would take long, or nested too deep, which would end the process."""
    text = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    if text.count(b'"') > 2 * MAX_VALUES:
        raise too_large(f"its header holds more than {MAX_VALUES:,} values")
    outside_strings = b"".join(text.split(b'"')[::2])
    if outside_strings.count(b",") > MAX_VALUES:
        raise too_large(f"its header holds more than {MAX_VALUES:,} values")
    brackets = outside_strings.translate(None, NOT_BRACKETS)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise damaged("the brackets of its header do not match, or nest too deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it names {quoted(twice)} twice")
    return table


def _integer(digits: str) -> int:
    if len(digits) > 20:  # converting millions of digits takes minutes
        raise ValueError(f"it holds a number of {len(digits):,} digits")
    return int(digits)


def _metadata(value: Any) -> dict[str, str]:
    metadata: Any = {} if value is None else value
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in cast(Table, metadata).values()):
        raise damaged("its __metadata__ is not a table of texts")
    return cast(dict[str, str], metadata)


def _check_letters(texts: Iterable[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:  # JSON can write half of a surrogate pair, which can be neither shown nor sent
        raise damaged("its header holds letters that do not exist") from error


def _tensors(header: dict[str, Any]) -> tuple[dict[str, TensorInfo], dict[str, int], int]:
    """(the tensors in the header's order, where the data of each begin, where the data end)

    The data must lie side by side, without gaps.
    """
    tensors: dict[str, TensorInfo] = {}
    places: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        tensors[name], start, end = _tensor(name, entry)
        places.append((start, end, name))
    reached = 0
    for start, end, name in sorted(places):
        if start != reached:
            fault = "overlaps the tensor before it" if start < reached else "leaves a gap before it"
            raise damaged(f"the data of {quoted(name)} {fault}")
        reached = end
    return tensors, {name: start for start, _, name in places}, reached


def _tensor(name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        bits = DTYPE_BITS[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(f"its header does not describe {quoted(name)} as a tensor of a known dtype") from error
    if not is_shape(shape) or not is_shape((start, end)):
        raise damaged(f"the shape or the offsets of {quoted(name)} are impossible")
    if math.prod(shape) * bits != 8 * (end - start):
        raise damaged(f"{end - start:,} bytes are set aside for {quoted(name)}, which does not fit its shape and dtype")
    return TensorInfo(dtype, tuple(shape)), start, end
