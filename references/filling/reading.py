"""Read a file that is to be put into a library. Letters: D numbers of a vector."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..space import Space
from .walk import FEATURES

LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class Content:
    """What a file holds: a picture to be embedded, or the vector itself.

    picture: as an embedder takes it
    vector: of saved features, (D,), of length 1; None for a picture
    width, height, hash64, metadata: as `references.library.Picture` has them
    """

    picture: Any = None
    vector: npt.NDArray[np.float32] | None = None
    width: int = 0
    height: int = 0
    hash64: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def kind(self) -> str:
        """As `references.library.Picture` has it."""
        return "image" if self.vector is None else "features"


def read_file(path: Path, data: bytes, space: Space) -> Content:
    """data: what is in the file

    Raises:
        ValueError: it is damaged, no picture, or features of another space.
    """
    return _features(path, space) if path.suffix.lower() == FEATURES else _picture(path, data)


def is_features(path: Path) -> bool:
    """Whether a safetensors file holds saved features, and no model."""
    from ...clip_vision.saving.saved import FORMAT
    from ...tensor_files import UnusableFile, read_header

    try:
        return FORMAT in read_header(path).metadata
    except (OSError, UnusableFile):
        return False


def _picture(path: Path, data: bytes) -> Content:
    from PIL import Image, ImageOps, UnidentifiedImageError

    from ..duplicates import dhash
    from ..metadata import generation

    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
        picture = ImageOps.exif_transpose(picture)
    except UnidentifiedImageError:
        raise ValueError("It is not a picture that PIL can read: give a PNG, JPEG or WebP file.") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise a dozen types for a broken file
        raise ValueError(f"The picture could not be read: {str(error)[:LONGEST]}") from error
    return Content(picture, None, picture.width, picture.height, dhash(picture), generation(path))


def _features(path: Path, space: Space) -> Content:
    from ...clip_vision import load_features
    from ..embedding import Embedding

    features = load_features(path).features
    vectors = features.image_embeds
    if vectors is None or space.feature != "image_embeds":
        raise ValueError(f"It holds no {space.feature}: save the features of the whole picture.")
    theirs = Space(features.encoder, vectors.shape[1])
    if not theirs.is_same(space):
        raise ValueError(f"Its features are of {theirs.title}, and the library is of {space.title}.")
    mean = Embedding.of_vectors(vectors, theirs, "image").mean()
    return Content(vector=np.asarray(mean.vectors[0]), metadata={"pictures": len(vectors)})
