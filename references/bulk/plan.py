"""What is to be embedded, in which order and with what. Written before anything is computed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ...tensor_files import printable
from ..filling.groups import BATCH
from ..filling.plan import File
from ..library.picture import check_below
from ..library.rows import Key
from ..space import Space
from .maker import Maker

FORMAT = 1
SHARD = 8 * BATCH  # files of a shard
DIGITS = 12  # of the SHA-256 of a plan, in the names of its parts


@dataclass(frozen=True)
class Entry:
    """A file to be embedded. Fields as in `references.filling.plan.File`.

    sha256: that the library has of a picture of this path; an empty text if there is none, or it lost its vector
    """

    root: int
    path: str
    size: int
    mtime_ns: int
    known: bool = False
    sha256: str = ""

    @property
    def key(self) -> Key:
        return self.root, self.path


@dataclass(frozen=True)
class Plan:
    """
    batch: how many pictures are embedded at once
    shard: how many files a shard has; the last one may have fewer
    roots: {number of a root in the library: its folder, from the source on}
    entries: the files, in the order of the library
    """

    maker: Maker
    batch: int
    shard: int
    roots: dict[int, str]
    entries: Sequence[Entry]

    @property
    def shards(self) -> int:
        return -(-len(self.entries) // self.shard)

    def of(self, number: int) -> Sequence[Entry]:
        """The files of a shard. ValueError if one of them would be elsewhere than below its root."""
        some = self.entries[number * self.shard : (number + 1) * self.shard]
        for entry in some:
            check_below(entry.path)
        return some

    def files(self, number: int, source: Path) -> list[File]:
        """The files of a shard, as they are where the source is."""
        return [self.file(entry, source) for entry in self.of(number)]

    def file(self, entry: Entry, source: Path) -> File:
        whole = Path(os.path.normpath(source / self.roots[entry.root])) / entry.path
        return File(entry.root, entry.path, entry.size, entry.mtime_ns, whole, entry.known)

    @cached_property
    def digest(self) -> str:
        """The begin of the SHA-256 of its file."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:DIGITS]

    def to_bytes(self) -> bytes:
        """JSON with a line for each file."""
        head = {
            "format": FORMAT,
            "encoder": self.maker.space.as_json(),
            "encoder_sha256": self.maker.sha256,
            "crop": self.maker.crop,
            "max_pixels": self.maker.max_pixels,
            "batch": self.batch,
            "shard": self.shard,
            "roots": {str(number): folder for number, folder in self.roots.items()},
        }
        lines = ",\n".join(json.dumps(_row(entry), ensure_ascii=False) for entry in self.entries)
        return f'{json.dumps(head)[:-1]}, "files": [\n{lines}\n]}}\n'.encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """ValueError, the end of a sentence, if this is no plan that `to_bytes` made, or one of a newer version."""
        try:
            table: Any = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is damaged ({printable(str(error), 100)})") from error
        head = cast("dict[str, Any]", table) if isinstance(table, dict) else dict[str, Any]()
        if head.get("format") != FORMAT:
            raise ValueError(
                f"is of the format {printable(str(head.get('format')), 20)}, and this is {FORMAT}: use one version of "
                "Image Prompt on all machines"
            )
        try:
            encoder, limit = Space.from_json(head["encoder"]), head["max_pixels"]
            maker = Maker(encoder, _text(head["encoder_sha256"]), _text(head["crop"]), limit and int(limit))
            roots = {int(number): _text(folder) for number, folder in head["roots"].items()}
            plan = cls(maker, int(head["batch"]), int(head["shard"]), roots, [_entry(row) for row in head["files"]])
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"is damaged ({type(error).__name__}: {printable(str(error), 100)})") from error
        if min(plan.batch, plan.shard) < 1 or not {entry.root for entry in plan.entries} <= roots.keys():
            raise ValueError("is damaged (its numbers do not fit together)")
        return plan


def _row(entry: Entry) -> list[Any]:
    return [entry.root, entry.path, entry.size, entry.mtime_ns, *([entry.sha256] if entry.known else [])]


def _entry(row: Any) -> Entry:
    root, path, size, mtime_ns, *sha256 = row
    return Entry(int(root), _text(path), int(size), int(mtime_ns), bool(sha256), *map(_text, sha256))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    value.encode()  # a UnicodeEncodeError, which is a ValueError, if half of a pair of surrogates is in it
    return value
