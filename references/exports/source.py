"""What exports read of a library. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..library import Picture
from ..space import Space

AT_ONCE = 4096  # pictures in memory, and in a row group
FORMAT = 1
Progress = Callable[[int, int], None]  # (pictures written, all)


class Exportable(Protocol):
    """`references.library.Library`"""

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> Space: ...
    @property
    def encoder_sha256(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def roots(self) -> Mapping[int, Path]: ...
    def ids(self) -> Any: ...
    def pictures(self, ids: Sequence[int]) -> list[Picture]: ...
    def vectors_of(self, ids: Sequence[int]) -> Any: ...


def batches(library: Exportable, on_progress: Progress | None = None) -> Iterator[tuple[list[Picture], Any]]:
    """Some pictures, and their vectors (n, D) fp16, at a time, by ascending ids."""
    ids: list[int] = library.ids().tolist()
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        yield library.pictures(some), library.vectors_of(some)
        if on_progress:
            on_progress(start + len(some), len(ids))


def about(library: Exportable) -> dict[str, Any]:
    """What an export says of the library, as JSON has it. roots: {number: the folder that paths are below}"""
    return {
        "format": FORMAT,
        "library": library.name,
        "generation": library.generation,
        "space": library.space.as_json(),
        "encoder_sha256": library.encoder_sha256,
        "roots": {str(number): str(path) for number, path in library.roots.items()},
    }
