"""Write a file whole or not at all: neither a full disk nor a killed process leaves a part of it."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from .printable_text import printable
from .safetensors_header import MAX_HEADER
from .tensor_info import DTYPE_BITS
from .weights import DTYPES, Path

WORDS = {dtype: word for word, dtype in DTYPES.items() if word in DTYPE_BITS}  # those that the format has
ALIGNMENT = 8  # bytes; other programs map the file into memory, where numbers have to begin at multiples of their size
PART = ".part"


class NameTaken(ValueError):
    """A file of this name is there already, or is being written."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a new safetensors file, as `new_file` does."""
    with new_file(path) as file:
        _write(file, tensors, metadata)


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file that has a name of its own, ending in .part, until it is complete.

    Two processes never write one name at the same time.

    Raises:
        NameTaken: nothing is overwritten.
        ValueError: the folder is not there, or may not be written to, or the disk is full.
    """
    path = os.fspath(path)
    part = f"{path}{PART}"
    name = printable(os.path.basename(path))
    try:
        file = open(part, "xb")
    except FileExistsError:
        raise NameTaken(
            f"{name} is being written: there is {name}{PART}. Choose another name, or remove that file if no program "
            "is writing it any more."
        ) from None
    except OSError as error:
        raise _not_written(name, error) from error
    try:
        with file:
            if os.path.lexists(path):
                raise _taken(name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        _take_name(part, path, name)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(part)
        if isinstance(error, OSError):
            raise _not_written(name, error) from error
        raise


def _take_name(part: str, path: str, name: str) -> None:
    """Give a complete file its name. `rename` would replace one that has come there meanwhile, not `link`."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise _taken(name) from None
    except OSError:  # the file system has no links
        os.rename(part, path)
    else:
        os.unlink(part)


def _taken(name: str) -> NameTaken:
    return NameTaken(f"There is a file {name} already, and nothing is overwritten: choose another name.")


def _not_written(name: str, error: OSError) -> ValueError:
    return ValueError(
        f"{name} could not be written: {error.strerror or error}. Check that its folder is there and may be written "
        "to, and that the disk has room."
    )


def _write(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)  # so that all are aligned
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": WORDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise ValueError(f"The metadata of the file would take {len(text):,} bytes, and {MAX_HEADER:,} are read.")
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for _, tensor in ordered:
        numbers = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        file.write(memoryview(cast(Any, numbers).numpy()))
