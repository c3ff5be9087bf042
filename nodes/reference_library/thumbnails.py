"""Small pictures of large ones, as PNG. What no program should open is refused before its pixels are read."""

import io
import os
import threading
from collections import OrderedDict
from pathlib import Path

from ...clip_vision.saving.saved import describe_features
from ..folders import file_state

SIDE = 256  # pixels along the longer side
LARGEST_FILE = 256 << 20  # bytes
MOST_PIXELS = 100_000_000  # a picture of more is one that fills the memory on purpose, or is none for a thumbnail
ROOM = 64 << 20  # bytes of small pictures that are kept in memory
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")

_kept: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
_one_at_a_time = threading.Lock()


def thumbnail(path: Path, kind: str) -> bytes:
    """The PNG of a picture, or the one that a file of features keeps of its picture.

    kind: "image" or "features"

    Raises:
        ValueError: it is no picture that is shown; the message names no folder.
    """
    state = file_state(str(path))
    with _one_at_a_time:  # a page asks for dozens at once, and each takes the memory of a whole picture
        png = _kept.pop(state, None)
        if png is None:
            png = _of_features(path) if kind == "features" else _of_picture(path)
        _kept[state] = png
        while sum(map(len, _kept.values())) > ROOM and len(_kept) > 1:
            _kept.popitem(last=False)
    return png


def _of_features(path: Path) -> bytes:
    png = describe_features(path, name=path.name).thumbnail
    if not png:
        raise ValueError(f"{path.name} keeps no picture.")
    return png


def _of_picture(path: Path) -> bytes:
    from PIL import Image, ImageOps

    if (size := os.stat(path).st_size) > LARGEST_FILE:
        raise ValueError(f"{path.name} has {size:,} bytes, and at most {LARGEST_FILE:,} are read for a small picture.")
    try:
        with Image.open(path, formats=FORMATS) as image:  # reads its size alone
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels, and at most {MOST_PIXELS:,} are read")
            image.draft("RGB", (SIDE, SIDE))  # JPEG is read at a part of its size
            small = ImageOps.exif_transpose(image)
            if small.mode.startswith("I;16"):
                small = small.convert("I").point(lambda value: value * (1 / 257)).convert("L")
            small.thumbnail((SIDE, SIDE), reducing_gap=2.0)
            written = io.BytesIO()
            small.convert("RGBA" if small.has_transparency_data else "RGB").save(written, "png", compress_level=4)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise a dozen types for a broken picture
        reason = str(error).replace(str(path), path.name)
        raise ValueError(f"{path.name} is not shown: {reason[:200]}") from error
    return written.getvalue()
