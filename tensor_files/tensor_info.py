"""What a model file says about one tensor, and the errors with which a file is refused."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

# Bits of one number, by the name of the dtype in safetensors.
DTYPE_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "I8": 8,
    "U8": 8,
    "F8_E4M3": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}
MAX_TENSORS = 50_000  # a full SDXL checkpoint has 2,600
MAX_DIMENSIONS = 8  # published tensors have up to 5
MAX_NUMBER = 2**63 - 1  # as in torch, whose sizes, strides and offsets are signed


@dataclass(frozen=True)
class TensorInfo:
    """The dtype of a tensor, as safetensors writes it ("F16"), and its shape."""

    dtype: str
    shape: tuple[int, ...]


class UnusableFile(ValueError):
    """A model file cannot be read: why, and what to do, in one sentence."""


class PassingTrouble(UnusableFile):
    """A file could not be read now but may be later: it was being written, or its disk failed."""


@contextmanager
def read_from(name: str) -> Generator[None]:
    """Turn errors of the operating system while a file is read into `PassingTrouble`, which names the file."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:  # it may have been removed meanwhile
        raise PassingTrouble(
            f"There is no file {name}: give the path of a safetensors or torch file that is there."
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise PassingTrouble(f"{name} could not be read: {reason}. Check its path and its disk.") from error


def damaged(why: str) -> UnusableFile:
    return UnusableFile(f"could not be read as a model file: {why}. It is damaged. Get the file again.")


def cut_short(found: int, expected: int) -> UnusableFile:
    return UnusableFile(f"is cut short: {found:,} of {expected:,} bytes are here. Get the file again.")


def too_large(what: str) -> UnusableFile:
    return UnusableFile(f"was not read: {what}, more than any known model needs. Get the file again.")


def quoted(text: str) -> str:
    """A name from a file, in quotes and short enough for a message."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def is_shape(value: Any) -> bool:
    """Whether this can be a shape, a stride or a pair of offsets: a few whole numbers, none of them negative."""
    if not isinstance(value, (list, tuple)):
        return False
    numbers = cast(Sequence[Any], value)
    return len(numbers) <= MAX_DIMENSIONS and all(type(n) is int and 0 <= n <= MAX_NUMBER for n in numbers)
