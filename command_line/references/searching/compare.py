"""Answer the command "compare": how well encoders find the pictures of a folder by their labels, and what it costs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ....model_files.folders import Installation
from ....tensor_files import printable
from ...terminal import Answer, ProgressLine, wrapped
from ..encoders import check_max_pixels, find, open_encoder
from ..filling.embed import FAILED, failed_lines

if TYPE_CHECKING:
    from ....references.comparison import Comparison, Labels, Way

HEAD = ("way", "at 1", "at 5", "at 10", "ms/picture", "ms/query", "MB")
MEANING = (
    "Recall at k is the share of labels of which a picture is among the first k that {template!r} finds, in percent; "
    "chance is that of a random order. The milliseconds are medians, on this machine and as busy as it was: of a "
    "picture, in batches of {batch} where an encoder takes several at once, and of a query with its search; loading "
    "encoders and opening files are not counted. The MB are those of the vectors in a library."
)
FUSED = "Fused are the ranks: 1 / (60 + rank) from each way."
CAPTIONS = "Where captions are searched, ms/picture is that of embedding the caption, without writing it."


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    from ....references.comparison import compare, find_labels

    if not os.path.exists(options.source):
        raise ValueError(f"There is no folder or list {printable(options.source)!r}.")
    paths = _encoders(options, where)
    check_max_pixels(options.max_pixels, paths)
    labels = find_labels(options.source, labels=options.labels, pattern=options.pattern)
    line = ProgressLine()

    def progress(name: str, done: int, total: int) -> None:
        line.show(f"{name}: {done:,} of {total:,} pictures")

    names = _names(paths)
    encoders = [
        (name, lambda path=path: open_encoder(path, max_pixels=options.max_pixels))
        for name, path in zip(names, paths, strict=True)
    ]
    try:
        found = compare(encoders, labels.pictures, options.template, on_progress=progress)
    finally:
        line.clear()
    folder = Path(os.path.abspath(options.source))
    failed = [*labels.failed, *((_whole(folder, path), why) for path, why in found.failed.items())]
    data = {
        "source": str(folder),
        "template": options.template,
        "files": {name: str(path) for name, path in zip(names, paths, strict=True)},
        **found.as_json(),
        "unlabelled": labels.unlabelled,
        "failed": [{"path": str(path), "reason": why} for path, why in failed],
    }
    lines = _lines(found, labels, options.template)
    return Answer(data, [*lines, *(["", *failed_lines(failed)] if failed else [])], FAILED if failed else 0)


def _encoders(options: argparse.Namespace, where: Installation) -> list[Path]:
    """The encoders that were given, or else the first full CLIP file; all of them encode texts."""
    paths = [find(given, where, text=True) for given in options.encoder or (None,)]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise ValueError(f"{printable(str(twice))} is given twice: compare different encoders.")
    return paths


def _names(paths: Sequence[Path]) -> list[str]:
    """How each encoder is shown: by the name of its file or folder, by the whole path where several have that name."""
    names = [path.name if path.is_dir() else path.stem for path in paths]
    return [printable(a if names.count(a) == 1 else str(path)) for a, path in zip(names, paths, strict=True)]


def _whole(folder: Path, path: str) -> Path:
    return (folder if folder.is_dir() else folder.parent) / path


def _lines(found: Comparison, labels: Labels, template: str) -> list[str]:
    from ....references.comparison import BATCH, KS

    rows = [_row(way) for way in found.ways]
    rows.append(("chance", *(_percent(found.chance(k)) for k in KS), "", "", ""))
    head = f"{found.pictures:,} pictures, {len(found.labels):,} labels. Recall in percent:"
    said = MEANING.format(template=template, batch=BATCH)
    names = [f"{name} is {space.title}" for name, space in found.spaces.items()]
    notes = [f"{'; '.join(names)}.", said, *_notes(found, labels)]
    return [head, "", *_table([HEAD, *rows]), "", *(line for note in notes for line in wrapped(note))]


def _notes(found: Comparison, labels: Labels) -> list[str]:
    notes = [FUSED] if any(way.parts for way in found.ways) else []
    count = found.pictures + len(found.failed)
    if found.captions == count:
        notes.append(CAPTIONS)
    elif found.captions:
        notes.append(f"Captions are not compared: {found.captions:,} of {count:,} pictures have one, and all need one.")
    notes += [
        f"{cut:,} captions are longer than {name} reads; the rest is not seen." for name, cut in found.cut.items()
    ]
    if labels.unlabelled:
        notes.append(f"Pictures without a label, which are left out: {len(labels.unlabelled):,}.")
    return notes


def _row(way: Way) -> tuple[str, ...]:
    from ....references.comparison import KS

    recalls = (_percent(way.recall(k)) for k in KS)
    return way.name, *recalls, f"{way.picture_ms:.1f}", f"{way.query_ms:.1f}", f"{way.size / 1e6:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in rows
    ]
