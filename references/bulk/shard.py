"""Make the part of one shard, which depends on nothing but the plan, the pictures and the encoder."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from ..filling.groups import Embeds, Found, Groups, Read, Vector
from ..filling.plan import File
from ..filling.reading import read_file
from ..filling.walk import LATEST
from ..library.rows import Key
from .part import Row, pack
from .plan import Plan

TOLERANCE = 2_000_000_000  # nanoseconds: some drives, and other machines that see them, know only even seconds
CHANGED = "It has changed since the plan was made: when the parts are collected, the next run embeds it."


def embed_shard(
    plan: Plan,
    number: int,
    source: Path,
    embedder: Embeds,
    *,
    read: Read = read_file,
    on_files: Callable[[int], object] = lambda count: None,
) -> bytes:
    """The bytes of its part. A file that cannot be read, or has changed since the plan, becomes a row with an error.

    on_files: called with how many more files are done
    """
    known = {entry.key: entry.sha256 for entry in plan.of(number)}
    files = plan.files(number, source)
    reading = Groups(plan.maker.space, lambda file: known[file.key], plan.batch, read, now=as_planned)
    rows, vectors = dict[Key, Row](), dict[Key, Vector]()
    with closing(reading.of(files)) as groups:
        for group in groups:
            for found, vector in group.embedded(embedder):
                rows[found[0].key], vectors[found[0].key] = _row(found), vector
            rows |= {file.key: Row(touched=True) for file in group.touched}
            rows |= {file.key: Row(error=why) for file, why in group.failed}
            on_files(len(group.files))
    numbers = [vectors[file.key] for file in files if file.key in vectors]
    wide = np.stack(numbers) if numbers else np.empty((0, plan.maker.space.dimension), np.float32)
    return pack([rows[file.key] for file in files], wide.astype(np.float16))


def as_planned(file: File, status: os.stat_result) -> File:
    """The file as the plan knows it. ValueError if it is another one now."""
    if status.st_size != file.size or abs(min(status.st_mtime_ns, LATEST) - file.mtime_ns) > TOLERANCE:
        raise ValueError(CHANGED)
    return file


def _row(found: Found) -> Row:
    _, sha256, content = found
    return Row(
        sha256=sha256,
        width=content.width,
        height=content.height,
        hash64=content.hash64,
        kind=content.kind,
        metadata=content.metadata,
    )
