"""Pictures in data URLs (https://www.rfc-editor.org/rfc/rfc2397). What is too large is refused before it is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")  # no PIL without AVIF reads it
READ = "PNG, JPEG, WebP, GIF, BMP or AVIF"
WANTED = "send the picture as data:image/...;base64,..."
URL = re.compile(r"data:([\w.+-]+/[\w.+*-]+)?((?:;[\w.+-]+(?:=[^;,\s]*)?)*),", re.IGNORECASE)
SCHEME = "data:image/"
HEAD = 16  # bytes by which PIL tells formats apart


def is_data_url(text: str) -> bool:
    return text[: len(SCHEME)].lower() == SCHEME or URL.match(text) is not None


def picture_in(url: str, most_pixels: int) -> Image.Image:
    """The picture of a data URL. Its pixels are decoded when they are first used.

    Raises:
        ValueError: it holds no picture, or one of more pixels.
    """
    image = _opened(_bytes_in(url))
    if image.width * image.height > most_pixels:
        raise ValueError(
            f"the picture has {image.width:,} x {image.height:,} pixels, and at most {most_pixels:,} are read: make it "
            "smaller."
        )
    return image


def _bytes_in(url: str) -> bytes:
    found = URL.match(url)
    kind = ((found and found[1]) or "text/plain").lower()
    if found is None:
        raise ValueError(f"this is no data URL: {WANTED}.")
    if not kind.startswith("image/"):
        raise ValueError(f"a data URL of {kind[:80]} is no picture: {WANTED}.")
    if not found[2].lower().endswith(";base64"):
        raise ValueError(f"the data URL is not in base64: {WANTED}.")
    try:
        return base64.b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("what follows `base64,` is no base64, which is on one line and ends whole.") from error


def _opened(data: bytes) -> Image.Image:
    """A picture of which only the head is read.

    `PIL.Image.open` does the same, and warns of pictures that are larger than others are.
    """
    from PIL import Image

    Image.init()
    head = data[:HEAD]
    for name in FORMATS:
        make, accepts = Image.OPEN.get(name, (None, None))
        if make is not None and accepts is not None and accepts(head) is True:
            try:
                return make(io.BytesIO(data), "")
            except MemoryError:
                raise
            except Image.DecompressionBombError as error:
                raise ValueError("the picture has more pixels than are read: make it smaller.") from error
            except Exception as error:  # decoders raise a dozen types for a broken picture
                raise ValueError(f"the {name} picture is damaged or not whole ({str(error)[:200]}).") from error
    raise ValueError(f"it holds no picture that can be read: send {READ}.")
