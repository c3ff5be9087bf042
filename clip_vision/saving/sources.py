"""What a file of features keeps of the source pictures: a thumbnail, and hashes by which they are found again.

Letters: H, W sides of a picture.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, cast

from torch import Tensor

from ..pictures.images import Pictures, from_png, to_png, to_rgb
from ..pictures.preprocessing import BLACK
from ..pictures.resample import resize

LONG_SIDE = 128  # pixels
LARGEST = 512  # pixels along the longer side of a thumbnail that is read
PNG_HEAD = struct.Struct(">8s4x4sII")  # signature, length of the first chunk, its name, width, height
PNG = (b"\x89PNG\r\n\x1a\n", b"IHDR")


def thumbnail(image: Pictures) -> bytes:
    """A small PNG of the first picture."""
    pixels = to_rgb(image, BLACK)[0][:1]
    height, width = pixels.shape[2:]
    shrink = min(1.0, LONG_SIDE / max(height, width))
    return to_png(resize(pixels, max(1, round(height * shrink)), max(1, round(width * shrink)))[0])


def pixel_digests(image: Pictures) -> list[str]:
    """SHA-256 of each picture: of its 8-bit RGB values, row by row, as a PNG of it would have them."""
    rows = (picture.permute(1, 2, 0).contiguous() for batch in to_rgb(image, BLACK) for picture in batch)
    return [hashlib.sha256(cast(Any, row).numpy()).hexdigest() for row in rows]


def is_thumbnail(png: bytes) -> bool:
    """Whether this begins as a PNG as small as a thumbnail. A larger one could fill the memory when it is decoded."""
    if len(png) < PNG_HEAD.size:
        return False
    signature, chunk, width, height = PNG_HEAD.unpack_from(png)
    return (signature, chunk) == PNG and max(width, height) <= LARGEST


def unpacked(png: bytes) -> Tensor:
    """The thumbnail as a picture (1, H, W, 3) float32 in 0..1. ValueError if it is damaged."""
    (pixels,) = to_rgb(from_png(png), BLACK)
    return pixels.permute(0, 2, 3, 1).float() / 255
