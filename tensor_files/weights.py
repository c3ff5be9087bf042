"""Describe the tensors of a model file, then read them one by one into memory of their own.

The file is not memory-mapped: once the tensors that are needed have been read, it may be cut, overwritten or deleted.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, Protocol, cast

import torch
from torch import Tensor

from .header import Header, read_header, unwrapped
from .printable_text import printable
from .tensor_info import PassingTrouble, TensorInfo, UnusableFile, quoted, read_from

DTYPES = {
    "BOOL": torch.bool,
    "I8": torch.int8,
    "U8": torch.uint8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
    "C128": torch.complex128,
}
PACKED = torch.uint8  # for dtypes that torch cannot compute with: several numbers in a byte, or powers of two

NUMPY_NUMBERS = ("numpy.core.multiarray", "numpy._core.multiarray")  # where files say that numbers of numpy are made

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

Path = str | os.PathLike[str]

State = tuple[int, ...]


class Read(Protocol):
    """Read one tensor, in a dtype or in its own (None). Each may be read once."""

    def __call__(self, name: str, dtype: torch.dtype | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Weights:
    """The tensors of an open file.

    tensors: by name, on the meta device
    read: reads the numbers of one of them
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    read: Read


@contextmanager
def open_weights(path: Path, one_tensor: bool = False) -> Generator[Weights]:
    """The tensors that `read_header` finds in a file, ready to be read. Code in a pickle never runs.

    one_tensor: as `read_header` takes it

    Raises:
        UnusableFile: the path is not a model file that can be read, as in `read_header`.
        PassingTrouble: the file changed or was cut while it was read, or the disk failed.
        FileNotFoundError, NotADirectoryError: the path does not exist.
    """
    name = printable(os.path.basename(path))
    before = _state(os.stat(path)) if os.path.exists(path) else ()
    header = read_header(path, one_tensor)
    opened = _safetensors if header.container == "safetensors" else _torch
    try:
        with opened(path, header, before) as read:
            yield Weights(on_meta(header.state_dict), header.metadata, read)
    except _Unreadable as error:
        raise error.kind(f"{name} {error}") from error.__cause__


@contextmanager
def named_weights(path: Path, name: str, one_tensor: bool = False) -> Generator[Weights]:
    """`open_weights` with ValueErrors alone. One that is raised meanwhile gets `name` before its message.

    Raises:
        UnusableFile: the path is not that of a model file that can be read.
        PassingTrouble: the path does not exist, or as `open_weights`.
    """
    with read_from(name), open_weights(path, one_tensor) as weights:
        try:
            yield weights
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def checked_path(path: object) -> str:
    """The path of a model file as text. Raises UnusableFile for anything that cannot be one."""
    if not isinstance(path, (str, os.PathLike)):
        raise UnusableFile(
            f"A model file is given by its path, a str or an os.PathLike, not by one of type {type(path).__name__}."
        )
    text = os.fsdecode(cast(Path, path))
    if not text.strip():
        raise UnusableFile("The path of the model file is empty: give that of a safetensors or torch file.")
    if ADDRESS.match(text):
        raise UnusableFile(
            f"{printable(text)} is an address, not the path of a file, and nothing is downloaded here: download the "
            "file and give its path."
        )
    return text


class _Unreadable(Exception):
    """A file cannot be read; the text is the rest of a sentence that begins with the file's name."""

    kind: type[UnusableFile] = UnusableFile


class _Disturbed(_Unreadable):
    kind = PassingTrouble


def on_meta(tensors: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
    """Tensors of these shapes and dtypes without memory; uint8 stands for dtypes that torch cannot compute with."""
    return {
        name: torch.empty(info.shape, dtype=DTYPES.get(info.dtype, PACKED), device="meta")
        for name, info in tensors.items()
    }


def _state(status: os.stat_result) -> State:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_unchanged(status: os.stat_result, before: State) -> None:
    if _state(status) != before:
        raise _Disturbed("changed while it was read. Try again when it is complete.")


@contextmanager
def _safetensors(path: Path, header: Header, before: State) -> Generator[Read]:
    with open(path, "rb") as file:
        _check_unchanged(os.fstat(file.fileno()), before)
        yield _Reader(file, header)
        _check_unchanged(os.fstat(file.fileno()), before)


class _Reader:
    """Reads tensors of a safetensors file; those that are cast pass through a buffer that is used again."""

    def __init__(self, file: BinaryIO, header: Header):
        self.file, self.header = file, header
        self.passage = torch.empty(0, dtype=torch.uint8)

    def __call__(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        info = self.header.tensors[name]
        stored = DTYPES.get(info.dtype)
        if stored is None:
            raise _Unreadable(f"holds {quoted(name)} as {info.dtype}, which torch cannot compute with: get it in fp16.")
        data = self._room(math.prod(info.shape) * stored.itemsize, kept=dtype in (None, stored))
        self._fill(name, cast(Any, data).numpy())
        return data.view(stored).view(info.shape).to(dtype)

    def _room(self, size: int, kept: bool) -> Tensor:
        if kept:
            return torch.empty(size, dtype=torch.uint8)
        if len(self.passage) < size:
            self.passage = torch.empty(size, dtype=torch.uint8)
        return self.passage[:size]

    def _fill(self, name: str, data: Any) -> None:
        try:
            self.file.seek(self.header.starts[name])
            found = cast(Any, self.file).readinto(data)
        except OSError as error:
            raise _Disturbed(
                f"could not be read: {error.strerror or error}. Check the disk, then try again."
            ) from error
        if found < len(data):
            raise _Disturbed(
                f"was cut short while it was read: of {quoted(name)} there are {found:,} of {len(data):,} bytes. Get "
                "the file again."
            )


@contextmanager
def _torch(path: Path, header: Header, before: State) -> Generator[Read]:
    cast(Any, torch.serialization).add_safe_globals(_options())  # for good: another thread may be reading a file
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError:
        raise
    except Exception as error:  # torch raises a dozen types for a broken file
        raise _Unreadable(
            f"could not be read as a model file: {_first_line(error)}. It is damaged or cut short "
            f"({os.path.getsize(path):,} bytes are here). Get the file again."
        ) from error
    _check_unchanged(os.stat(path), before)
    tensors = dict(unwrapped(dict(_leaves(loaded, ""))))
    del loaded
    yield lambda name, dtype=None: tensors.pop(name).to(dtype)


@cache
def _options() -> list[Any]:
    """What trainers put beside tensors: the options of a training, and numbers of numpy. All of it is data."""
    import numpy  # needed for torch files alone

    def number(module: str) -> object:
        def scalar(kind: Any, data: bytes) -> Any:
            return cast(Any, numpy).frombuffer(data, kind)[0]

        scalar.__module__, scalar.__qualname__ = module, "scalar"
        return scalar

    kinds = (type(numpy.dtype(word)) for word in ("bool", "int32", "int64", "float32", "float64"))
    return [argparse.Namespace, numpy.dtype, *kinds, *map(number, NUMPY_NUMBERS)]


def _leaves(table: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested tables, under the names that `read_header` gives them."""
    if isinstance(table, Tensor):
        yield prefix, table.detach()
        return
    for key, value in cast("Mapping[object, object]", table).items():
        if not isinstance(key, (str, int)):
            continue
        if isinstance(value, Mapping):
            yield from _leaves(cast(object, value), f"{prefix}{key}.")
        elif isinstance(value, Tensor):
            yield f"{prefix}{key}", value.detach()


def _first_line(error: Exception) -> str:
    lines = str(error).partition("In PyTorch 2.6")[0].strip().splitlines()  # torch's advice follows: to run it
    return lines[0].rstrip(".") if lines else type(error).__name__
