"""Answer the command "paths": the report of all files, and the folders that were searched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..model_files.catalogue import Catalogue
from ..model_files.environment import broken_parts
from ..model_files.folders import Installation
from ..model_files.index import CachedFiles, Index, take_over
from ..model_files.matching import Report, Row, about, named, table
from .terminal import Answer, ProgressLine, described, section, size_text, wrapped

FEATURES = "image_prompts"  # saved features of pictures, which are not looked into: they are no models
TITLES = {
    "found": "Found",
    "misplaced": "In the wrong folder",
    "unusable": "Not usable",
    "missing": "Not found",
}


def answer(where: Installation, catalogue: Catalogue) -> Answer:
    file, line = where.index_file, ProgressLine()
    cached = CachedFiles(catalogue)
    index = Index(where.folders, file and take_over(file), cached=cached)
    try:
        index.files(on_progress=lambda now: line.show(f"Reading {now.type}: {now.done} of {now.total}"))
        report = table(index, catalogue)
        listed = {model_type: index.files(model_type) for model_type in index.types}
        line.show("Trying whether optional parts can be imported", now=True)
        broken = broken_parts(file)
    finally:
        line.clear()
        index.close()
    counts = {name: sum(not each.file.cached for each in files) for name, files in listed.items()}
    counts[FEATURES] = len(index.folders.scan(FEATURES))
    in_cache = sum(each.file.cached for files in listed.values() for each in files)
    cache = {"files": in_cache, **_place(cached.hub)}
    folders = [*_folders(index, counts), *_counted("Hugging Face cache", in_cache, [cached.hub])]
    return Answer(
        {**_data(index, counts, report), "cache": cache, "broken_parts": dict(broken)},
        [
            *section("Folders", folders),
            *section(f"Broken optional parts ({len(broken)})", described(broken)),
            *_files(report),
        ],
    )


def _data(index: Index, counts: dict[str, int], report: Report) -> dict[str, object]:
    def listed(model_type: str) -> list[dict[str, object]]:
        return [_place(path) for path in index.paths(model_type)]

    folders = {model_type: {"files": count, "paths": listed(model_type)} for model_type, count in counts.items()}
    found = {row.entry.id: str(row.file.file.path) for row in report.rows if row.file}
    return {"folders": folders, **report.to_dict(), "absolute": found}


def _place(path: Path) -> dict[str, object]:
    return {"path": str(path), "exists": os.path.isdir(path)}


def _folders(index: Index, counts: dict[str, int]) -> list[str]:
    return [line for name, count in counts.items() for line in _counted(name, count, index.paths(name))]


def _counted(name: str, count: int, paths: Sequence[Path]) -> list[str]:
    lines = [f"  {name}: {count or 'no'} file{'' if count == 1 else 's'}"]
    for path in paths:
        lines += wrapped(f"{path}{'' if os.path.isdir(path) else ' (does not exist)'}", "    ")
    return lines


def _files(report: Report) -> list[str]:
    lines: list[str] = []
    for status, title in TITLES.items():
        rows = [row for row in report.rows if row.status == status]
        lines += section(f"{title} ({len(rows)})", described([_row(row) for row in rows]))
    others = [(named(file), about(file)) for file in report.others]
    lines += section(f"Other files ({len(others)})", described(others))
    counts = report.counts()
    return [*lines, ", ".join(f"{counts[status]} {title[0].lower()}{title[1:]}" for status, title in TITLES.items())]


def _row(row: Row) -> tuple[str, str]:
    """An entry and its file, or its title and size if the file is missing. The catalogue has the link."""
    if row.file is None:
        return row.entry.id, ", ".join(filter(None, (row.entry.title, size_text(row.entry.size))))
    return row.entry.id, ": ".join(filter(None, (named(row.file), row.why)))
