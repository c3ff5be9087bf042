"""Read the texts in the EXIF data of JPEG and WebP pictures. Standard library only; the pixels are not decoded.

EXIF is a TIFF file: https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf, section 4.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

LONGEST = 16 << 20  # bytes of EXIF in a WebP; JPEG's parts have at most 64 KB
PARTS = 1000  # of a file, and of a directory: more than any program writes
EXIF = b"Exif\0\0"
MAKE, MODEL, EXIF_DIRECTORY, USER_COMMENT = 0x010F, 0x0110, 0x8769, 0x9286
TEXTS = (MAKE, MODEL, 0x010E, 0x0131, 0x0132)  # ComfyUI counts down from Make, a tag for each text
ASCII = 2  # the type of a text; other types have more bytes for each of their elements


def user_comment(path: str | Path) -> str | None:
    """The comment of the user, where A1111's web UI writes what made a picture; None if there is none."""
    return _Tiff(_exif(path)).user_comment()


def named_texts(path: str | Path) -> dict[str, str]:
    """The texts that ComfyUI writes into WebP pictures, as "prompt:{...}" in tags that are a camera's elsewhere."""
    found = (text.partition(":") for text in _Tiff(_exif(path)).texts())
    return {name.lower(): text for name, colon, text in found if colon}


def _exif(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        begin = file.read(12)
        if begin.startswith(b"\xff\xd8"):
            return _of_jpeg(file)
        if begin.startswith(b"RIFF") and begin[8:] == b"WEBP":
            return _of_webp(file)
    return b""


def _of_jpeg(file: BinaryIO) -> bytes:
    file.seek(2)
    for _ in range(PARTS):
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xD9, 0xDA):  # the pixels begin: EXIF comes before them
            return b""
        size = struct.unpack(">H", head[2:])[0] - 2
        if head[1] == 0xE1:
            data = file.read(max(size, 0))
            if data.startswith(EXIF):
                return data[len(EXIF) :]
        else:
            file.seek(max(size, 0), 1)
    return b""


def _of_webp(file: BinaryIO) -> bytes:
    for _ in range(PARTS):
        head = file.read(8)
        if len(head) < 8:
            return b""
        kind, size = struct.unpack("<4sI", head)
        if kind == b"EXIF":
            return file.read(min(size, LONGEST)).removeprefix(EXIF)
        file.seek(size + size % 2, 1)
    return b""


class _Tiff:
    """The directories of a TIFF file. What points outside of it is not there."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4], "")

    def texts(self) -> Iterator[str]:
        for kind, value in self._entries(self._first(), TEXTS).values():
            if kind == ASCII:
                yield value.rstrip(b"\0").decode("utf-8", "replace")

    def user_comment(self) -> str | None:
        _, place = self._entries(self._first(), [EXIF_DIRECTORY]).get(EXIF_DIRECTORY, (0, b""))
        inner = self._entries(self._number("I", place), [USER_COMMENT]) if len(place) == 4 else {}
        return self._comment(inner[USER_COMMENT][1]) if inner else None

    def _first(self) -> int:
        return self._number("I", self.data[4:8]) if self.order and len(self.data) >= 8 else 0

    def _number(self, kind: str, data: bytes) -> int:
        return struct.unpack(self.order + kind, data)[0]

    def _entries(self, place: int, tags: Collection[int]) -> dict[int, tuple[int, bytes]]:
        """{tag: its type and bytes} of the first entry of each of these tags.

        A value of at most four bytes is in the entry itself.
        """
        found = dict[int, tuple[int, bytes]]()
        count = self._number("H", self.data[place : place + 2]) if 0 < place <= len(self.data) - 2 else 0
        for number in range(min(count, PARTS)):
            entry = self.data[place + 2 + 12 * number : place + 14 + 12 * number]
            if len(entry) < 12:
                break
            tag, kind, elements = struct.unpack(self.order + "HHI", entry[:8])
            if tag not in tags or tag in found:
                continue
            size = elements * {3: 2, 4: 4, 9: 4, 5: 8, 10: 8}.get(kind, 1)
            begin = self._number("I", entry[8:])
            found[tag] = kind, entry[8 : 8 + size] if size <= 4 else self.data[begin : begin + size]
        return found

    def _comment(self, value: bytes) -> str | None:
        code, text = value[:8].rstrip(b"\0 "), value[8:]
        if code == b"UNICODE":
            return _utf16(text, self.order).rstrip("\0")
        return text.rstrip(b"\0").decode("utf-8", "replace") if code in (b"ASCII", b"") else None


def _utf16(data: bytes, order: str) -> str:
    """Text in the byte order of its mark, or else in the one that makes most of it Latin: programs write both."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    big, little = data[::2].count(0), data[1::2].count(0)
    if big == little:
        big, little = (1, 0) if order == ">" else (0, 1)
    return data.decode("utf-16-be" if big > little else "utf-16-le", "replace")
