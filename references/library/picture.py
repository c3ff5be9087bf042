"""What a library knows of a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ...tensor_files import printable

KINDS = ("image", "features")
RATINGS = (-1, 0, 1)  # bad, not rated, good


@dataclass(frozen=True)
class Picture:
    """A picture of a library.

    root: number of the folder that its path is below, of `Library.roots`
    path: below the root, with / between folders
    size, mtime_ns, sha256: of the file when it was embedded
    width, height: in pixels, turned as its EXIF orientation says; 0 where they are not known
    hash64: of what the picture shows, without its sign; None where there is none
    kind: "image", or "features" for a file of saved features
    text: what a list said of it
    metadata: what made it
    rating: -1 bad, 0 not rated, 1 good
    """

    id: int
    root: int
    path: str
    size: int
    mtime_ns: int
    sha256: str
    width: int
    height: int
    hash64: int | None
    kind: str
    text: str
    metadata: dict[str, Any]
    rating: int


@dataclass(frozen=True)
class NewPicture:
    """A picture to be added; fields as in `Picture`.

    root: the folder itself
    """

    root: Path
    path: str
    size: int
    mtime_ns: int
    sha256: str
    width: int = 0
    height: int = 0
    hash64: int | None = None
    kind: str = "image"
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rating: int = 0

    def check(self) -> None:
        """Raises a ValueError if it cannot be kept."""
        if not Path(self.root).is_absolute():
            raise ValueError(f"The root {printable(str(self.root))} is not a whole path: give one from the drive on.")
        check_below(self.path)
        if self.kind not in KINDS or self.rating not in RATINGS:
            raise ValueError(f"{printable(self.path)}: the kind is one of {KINDS}, the rating one of {RATINGS}.")
        if self.hash64 is not None and not 0 <= int(self.hash64) < 1 << 64:
            raise ValueError(f"{printable(self.path)}: a hash64 is in 0..2^64-1, not {self.hash64}.")


@dataclass(frozen=True)
class Failure:
    """A file that could not be embedded. Fields as in `Picture`; the size and the time are 0 where it has none."""

    root: int
    path: str
    reason: str
    size: int = 0
    mtime_ns: int = 0


def check_below(path: str) -> None:
    """Refuse a path that does not stay below its root, or is not spelled as here."""
    if str(PurePosixPath(path)) != path or path in (".", "") or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{printable(path)!r} is no path below a root: give one such as cats/tom.png.")


def is_text(path: str) -> bool:
    """Whether a path can be written as text; systems also allow names of any bytes."""
    return as_text(path) == path


def as_text(text: str) -> str:
    """A text as it can be kept: of JSON, half of a pair of surrogates may be left, which becomes a question mark."""
    return text.encode(errors="replace").decode()


def signed(number: int | None) -> int | None:
    """A number of 64 bits as SQLite keeps it."""
    return None if number is None else int(number) - (int(number) >> 63 << 64)


def unsigned(number: int | None) -> int | None:
    return None if number is None else number & (1 << 64) - 1


def packed(metadata: Mapping[str, Any]) -> str:
    """JSON that is equal for equal metadata."""
    return as_text(json.dumps(metadata, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
