"""Report which files of the catalogue are found, missing, in the wrong folder or unusable, and what else is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ...tensor_files import printable
from ..catalogue import Catalogue, Entry
from ..folders import ADAPTER_TYPES
from ..index import Index, IndexedFile, Progress
from .checks import Matcher, full_name, is_content_of, is_ours
from .explanation import about, advice, is_archive, named, put_it, reason
from .requirement import Need, file_as_dict, homes_of, shown_folder
from .support import is_of_use, refusal
from .wording import licence_words, size_words

STATUSES = ("found", "misplaced", "unusable", "missing")
SHOWN = ("misplaced", "unusable", "found", "missing")
LISTED = (*ADAPTER_TYPES, "clip_vision")  # types of which every file is listed

Files = Mapping[str, Sequence[IndexedFile]]  # by type; "" for those that cannot be used from where they are


@dataclass(frozen=True)
class Row:
    """An entry of the catalogue, one of `STATUSES`, the file if there is one, and what is wrong or what to do."""

    entry: Entry
    status: str
    file: IndexedFile | None
    why: str

    def to_dict(self, places: Mapping[str, str] = MappingProxyType({})) -> dict[str, object]:
        """Plain data, without absolute paths. places: as `Report` has them"""
        return {
            "entry": self.entry.to_dict(),
            "status": self.status,
            "why": self.why,
            "file": self.file and file_as_dict(self.file),
            "get": self._get(places),
        }

    def _get(self, places: Mapping[str, str]) -> dict[str, object]:
        """What to get, from where, and where to put it. `plain`: nothing else has to be said about that."""
        return {
            "name": self.entry.files[0],
            "size": size_words(self.entry.size),
            "licence": licence_words(self.entry),
            "link": self.entry.url or self.entry.page,
            "folder": places.get(self.entry.folder) or f"models/{self.entry.folder}",
            "plain": not (is_archive(self.entry) or refusal(self.entry)),
        }


@dataclass(frozen=True)
class Report:
    rows: Sequence[Row]
    others: Sequence[IndexedFile]  # files in the folders of adapters and encoders that are in no row
    unread: Sequence[str]  # types in which files are still being read
    places: Mapping[str, str] = field(default_factory=dict[str, str])  # type -> its first folder, as people read it

    def counts(self) -> dict[str, int]:
        """How many rows have each status."""
        return {status: sum(row.status == status for row in self.rows) for status in STATUSES}

    def summary(self) -> str:
        return ", ".join(f"{number} {status}" for status, number in self.counts().items() if number)

    def to_dict(self) -> dict[str, object]:
        """Plain data, without absolute paths."""
        return {
            "counts": self.counts(),
            "rows": [row.to_dict(self.places) for row in self.rows],
            "others": [file_as_dict(file) | {"about": about(file)} for file in self.others],
            "unread": list(self.unread),
        }

    def __str__(self) -> str:
        """One line a file, what wants doing first; a list in Markdown, and as plain text."""
        groups = {
            status: [f"{row.entry.id}: {_about_row(row)}" for row in self.rows if row.status == status]
            for status in SHOWN
        }
        groups["other files"] = [f"{named(file)}: {about(file)}" for file in self.others]
        groups["still being read"] = list(self.unread)
        lists = [
            "\n".join([f"{title.capitalize()}:", *(f"- {printable(line)}" for line in lines)])
            for title, lines in groups.items()
            if lines
        ]
        return "\n\n".join([self.summary(), *lists])


def table(
    index: Index,
    catalogue: Catalogue,
    wait: bool = True,
    timeout: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """The report of all files: one row for each entry of the catalogue that this pack can use, or whose file is there.

    wait: whether to read folders again that were not read in the last seconds, for at most `timeout` seconds
    """
    end = None if timeout is None else time.monotonic() + timeout
    old = [model_type for model_type in index.types if index.is_old(model_type)]
    if wait and old:
        index.rescan(*old, timeout=timeout, on_progress=on_progress)
    left = None if end is None else max(0.0, end - time.monotonic())
    files: dict[str, list[IndexedFile]] = {}
    for file in index.files(None, wait, left, on_progress):
        files.setdefault(file.file.type if index.can_use(file) else "", []).append(file)
    rows = [_row(entry, files, catalogue) for entry in catalogue.entries]
    told = {row.file for row in rows if row.file}
    return Report(
        [row for row in rows if row.status != "missing" or is_of_use(row.entry, catalogue)],
        [file for model_type in LISTED for file in files.get(model_type, ()) if not (file in told or file.file.cached)],
        [model_type for model_type in index.types if index.has_no_view(model_type)],
        {model_type: shown_folder(paths[0]) for model_type in index.types if (paths := index.paths(model_type))},
    )


def _row(entry: Entry, files: Files, catalogue: Catalogue) -> Row:
    matcher, homes = Matcher(Need.for_entry(entry), [entry], catalogue), homes_of(entry)
    good, rejected = matcher.choose([file for home in homes for file in files.get(home, ())])
    if good:
        nodes = f"ComfyUI's nodes need it in models/{entry.folder}: copy or link it there."
        return Row(entry, "found", good[0], nodes if good[0].file.cached else "")
    for file, why in rejected:
        named_for = catalogue.named(full_name(file))
        if entry in named_for or file.problem and not named_for and _is_its_content(entry, file):
            return Row(entry, "unusable", file, reason(file, why))
    elsewhere = [file for model_type in files if model_type not in homes for file in files[model_type] if is_ours(file)]
    misplaced, _ = matcher.choose(elsewhere)
    if misplaced:
        return Row(entry, "misplaced", misplaced[0], put_it(misplaced[0], entry.folder))
    return Row(entry, "missing", None, advice(entry))


def _is_its_content(entry: Entry, file: IndexedFile) -> bool:
    return file.identity is not None and is_content_of(entry, file.identity)


def _about_row(row: Row) -> str:
    return ": ".join(filter(None, (named(row.file) if row.file else "", row.why)))
