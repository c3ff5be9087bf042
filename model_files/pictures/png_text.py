"""Read a text that a program wrote into a PNG picture. Standard library only; the pixels are not decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
OTHER_PICTURES = {b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"RIFF": "WebP"}  # how the file begins -> what it is
CHUNKS = 100_000  # more than any picture has; a file of nothing but empty chunks would take minutes
LONGEST = 16 << 20  # bytes of a text, as it is stored and when it is unpacked
KEYWORD = 79  # bytes at most, by the standard
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"comf")  # ComfyUI writes the last one into animations, built like the first


class NotReadable(ValueError):
    """The picture or its text is damaged, or larger than it may be; the message says which."""


def picture_format(path: str | Path) -> str:
    """The kind of picture that a file is, such as "PNG", or an empty text if it is none."""
    with open(path, "rb") as file:
        begin = file.read(12)
    if begin.startswith(SIGNATURE):
        return "PNG"
    found = next((name for start, name in OTHER_PICTURES.items() if begin.startswith(start)), "")
    return "" if found == "WebP" and begin[8:] != b"WEBP" else found


def read_text(path: str | Path, keyword: str) -> str | None:
    """The first text with this keyword in a PNG picture; None if it has none.

    Raises:
        NotReadable: the picture is damaged before the text is found, or the text itself is.
    """
    key = keyword.encode("latin-1") + b"\0"
    with open(path, "rb") as file:
        for kind, size in _chunks(file):
            if kind not in TEXTS:
                continue
            begin = file.read(min(size, len(key)))
            if begin == key:
                return _decoded(kind, keyword, _rest(file, kind, size, begin))
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The type and size of each chunk, with the file at the start of its data."""
    end = file.seek(0, 2)
    place = len(SIGNATURE)
    for _ in range(CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            raise NotReadable("The picture is cut short: it has no end. Get it again.")
        size, kind = struct.unpack(">I4s", head)
        place += 12 + size
        if not kind.isalpha() or place > end:
            raise NotReadable(
                "The picture is damaged or cut short: a part of it is longer than the file. Get it again."
            )
        if kind == b"IEND":
            return
        yield kind, size
    raise NotReadable(f"The picture has more than {CHUNKS:,} parts, which no program writes. It was not read further.")


def _rest(file: BinaryIO, kind: bytes, size: int, begin: bytes) -> bytes:
    """The data of a text chunk after its keyword, which has been read already."""
    if size > LONGEST:
        raise NotReadable(f"The text in the picture has {size:,} bytes, and at most {LONGEST:,} are read.")
    data = file.read(size - len(begin))
    if file.read(4) != struct.pack(">I", zlib.crc32(kind + begin + data)):
        raise NotReadable("The text in the picture is damaged: its check sum is another. Get the picture again.")
    return data


def _decoded(kind: bytes, keyword: str, data: bytes) -> str:
    try:
        if kind == b"zTXt":
            return _unpacked(data[1:]).decode("latin-1")  # before it, the method: there is only one
        if kind != b"iTXt":
            return data.decode("latin-1")
        text = data[2:].split(b"\0", 2)[2]  # before it, a language and a translated keyword
        return (_unpacked(text) if data[0] else text).decode("utf-8")
    except (IndexError, UnicodeDecodeError, zlib.error) as error:
        raise NotReadable(f"The text {keyword} in the picture is damaged ({error}). Get the picture again.") from error


def _unpacked(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    text = stream.decompress(data, LONGEST)
    if stream.unconsumed_tail:
        raise NotReadable(f"The text in the picture unpacks to more than {LONGEST:,} bytes, and is not read.")
    if not stream.eof:
        raise NotReadable("The packed text in the picture is cut short. Get the picture again.")
    return text
