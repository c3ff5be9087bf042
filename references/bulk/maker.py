"""What makes the vectors of a plan. Standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..space import Space

BLOCK = 1 << 22  # bytes that are read at once
SHOWN = 12  # digits of a SHA-256


@dataclass(frozen=True)
class Maker:
    """What has to be equal on all machines.

    space: of the encoder
    sha256: of its file, or of the files of its folder
    crop: as `clip_vision.encode` takes it
    """

    space: Space
    sha256: str
    crop: str = "center"

    def difference(self, other: Maker) -> str:
        """How the maker of a plan (self) and that of this machine (other) differ; an empty text if they do not."""
        if not self.space.is_same(other.space) and self.space.title != other.space.title:
            return f"it was made with {self.space.title}, and this is {other.space.title}"
        if self.sha256 != other.sha256 or not self.space.is_same(other.space):
            return (
                f"it was made with another file of {self.space.encoder} (its SHA-256 begins with "
                f"{self.sha256[:SHOWN]}, that of this one with {other.sha256[:SHOWN]})"
            )
        return "" if self.crop == other.crop else f'it crops pictures by "{self.crop}", and this by "{other.crop}"'


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex; of a folder that of the names and the contents of its files, but hidden ones."""
    if not path.is_dir():
        return _sha256(path)
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    shown = sorted(name for name in files if not any(part.startswith(".") for part in name.split("/")))
    lines = "".join(f"{_sha256(files[name])}  {name}\n" for name in shown)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _sha256(path: Path) -> str:
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
    return whole.hexdigest()
