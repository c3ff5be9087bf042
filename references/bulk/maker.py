"""What makes the vectors of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..digests import sha256_of
from ..space import Space

if TYPE_CHECKING:
    from ..embedders import AnyEmbedder

SHOWN = 12  # digits of a SHA-256


@dataclass(frozen=True)
class Maker:
    """What has to be equal on all machines.

    space: of the encoder
    sha256: of its file, or of the files of its folder
    crop: as `clip_vision.encode` takes it
    max_pixels: as a vision-language model takes it; None for encoders with a size of their own
    """

    space: Space
    sha256: str
    crop: str = "center"
    max_pixels: int | None = None

    @classmethod
    def of(cls, embedder: AnyEmbedder, path: Path) -> Maker:
        """The maker that an encoder is. path: of its file, or of its folder"""
        from ..vision_language import VisionLanguageEncoder

        limit = embedder.max_pixels if isinstance(embedder, VisionLanguageEncoder) else None
        return cls(embedder.space, sha256_of(path), max_pixels=limit)

    def difference(self, other: Maker) -> str:
        """How the maker of a plan (self) and that of this machine (other) differ; an empty text if they do not."""
        if not self.space.is_same(other.space) and self.space.title != other.space.title:
            return f"it was made with {self.space.title}, and this is {other.space.title}"
        if self.sha256 != other.sha256 or not self.space.is_same(other.space):
            return (
                f"it was made with another file of {self.space.encoder} (its SHA-256 begins with "
                f"{self.sha256[:SHOWN]}, that of this one with {other.sha256[:SHOWN]})"
            )
        if self.crop != other.crop:
            return f'it crops pictures by "{self.crop}", and this by "{other.crop}"'
        if self.max_pixels != other.max_pixels:
            return f"its pictures have {self.max_pixels} pixels at most, and {other.max_pixels} are asked for"
        return ""
