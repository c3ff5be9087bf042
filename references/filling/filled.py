"""What came of filling a library. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Filled:
    """What a run did; paths are whole.

    added, replaced: pictures that were embedded, new ones and changed ones
    unchanged: files that the library knew as they are
    moved: (where the file was, where it is)
    failed: (path, why)
    gone: pictures whose files are not there any more; they are still in the library, unless they were pruned
    pruned: whether they were removed from it
    stopped: whether it ended before all was done; the next run goes on
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    moved: list[tuple[Path, Path]] = field(default_factory=list[tuple[Path, Path]])
    failed: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])
    gone: list[Path] = field(default_factory=list[Path])
    pruned: bool = False
    stopped: bool = False
