"""What is fuzzed: a reader of foreign bytes, where to begin, and what it may raise."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

Raw = Callable[[bytes, int], bytes]  # libFuzzer's own changes: (data, the most bytes) -> other data
Change = Callable[[bytes, int, Random, Raw], bytes]


def unshaped(data: bytes, most: int, draw: Random, raw: Raw) -> bytes:
    """Data whose format has nothing in it that random changes of bytes would always break."""
    return raw(data, most)


def file_in(folder: Path, name: str, data: bytes) -> Path:
    """A file of this content."""
    path = folder / name
    path.write_bytes(data)
    return path


@dataclass(frozen=True)
class Target:
    """A reader.

    read: (data, an empty folder) -> whatever it gives
    seeds: what to begin from
    change: how one input is made of another, mostly into one that is nearly right
    errors: what it may raise, and nothing else
    words: that the format knows
    longest: bytes of an input
    runs: how many inputs it gets, unless they are said
    """

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], Iterable[bytes]]
    change: Change = unshaped
    errors: tuple[type[Exception], ...] = (ValueError,)
    words: tuple[str, ...] = ()
    longest: int = 8192
    runs: int = 40_000
