"""Answer the command "get": show the terms, ask, download, and say what else is needed."""

from __future__ import annotations

import difflib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..model_files.catalogue import Catalogue, Entry, place_in, place_named
from ..model_files.download import Downloaded, Manner, check_request, download, file_name
from ..model_files.folders import Installation, ModelFolders
from ..tensor_files import printable
from .catalogue import licence_text
from .terminal import Answer, ProgressLine, described, size_text, wrapped


class NotDownloaded(ValueError):
    """The user did not agree to a download."""


@dataclass(frozen=True)
class Wish:
    """What the user asks for, by the name of an entry, of its file or of its repository, and the options."""

    name: str
    agreed: bool = False
    allow_unverified: bool = False
    offline: bool = False


def answer(wish: Wish, where: Installation, catalogue: Catalogue) -> Answer:
    """Fetch a file and say what was done. ValueError, with the reason, if the file is not there afterwards."""
    entry = _entry(wish.name, catalogue)
    target = _folder(where.folders, entry) / file_name(entry)
    for line in _terms(entry, target, where.folders):
        print(line, file=sys.stderr)
    if not os.path.exists(target):
        check_request(entry, target, wish.allow_unverified, wish.offline)
        if not (wish.agreed or _agrees()):
            raise NotDownloaded("Nothing was downloaded.")
    done = _fetch(entry, target, wish)
    data = {
        "id": entry.id,
        "path": str(done.path),
        "size": done.size,
        "sha256": done.sha256,
        "fetched": done.fetched,
        "verified": bool(entry.sha256),
        "licence": entry.licence,
        "commercial": entry.commercial,
    }
    return Answer(data, [*_result(entry, done), *_belongings(entry, where.folders, catalogue)])


def _entry(name: str, catalogue: Catalogue) -> Entry:
    known = {entry.id.casefold(): entry for entry in catalogue.entries}
    by_name = [] if place_in(name)[0] else catalogue.named(name)  # a file of that name elsewhere is another file
    named = {entry.id: entry for entry in by_name or catalogue.in_repository(*place_named(name))}
    found = known.get(name.casefold()) or (next(iter(named.values())) if len(named) == 1 else None)
    if found:
        return found
    alike = [known[each].id for each in difflib.get_close_matches(name.casefold(), known, cutoff=0.5)]
    if len(named) > 1:
        raise ValueError(f"{printable(name)!r} may be several entries of the catalogue. Name one: {', '.join(named)}.")
    hint = f"Did you mean {' or '.join(alike)}? " if alike else ""
    raise ValueError(f"The catalogue has no {printable(name)!r}. {hint}The command `catalogue` lists its entries.")


def _folder(folders: ModelFolders, entry: Entry) -> Path:
    """The first folder that exists, because a disk may be missing, or else the first of all."""
    known = folders.paths(entry.folder)
    if not known:
        raise ValueError(f"No folder for models of the type {entry.folder} is known. Give one with --models PATH.")
    return next((path for path in known if os.path.isdir(path)), known[0])


def _terms(entry: Entry, target: Path, folders: ModelFolders) -> list[str]:
    alike = [str(file.path) for file in folders.scan(entry.folder) if file.size == entry.size and file.path != target]
    return described(
        [
            ("what", f"{entry.title} ({entry.id})"),
            ("from", entry.url or entry.page),
            ("to", str(target)),
            ("size", size_text(entry.size) or "not known"),
            ("licence", f"{licence_text(entry)}. {entry.page}"),
            ("check", f"SHA-256 {entry.sha256}" if entry.sha256 else "NONE: its SHA-256 is not known"),
            *(("note", f"{path} has the same size: it may be the same file.") for path in alike),
        ]
    )


def _agrees() -> bool:
    if not sys.stdin.isatty():
        raise NotDownloaded("Nothing was downloaded: with --yes you agree to these terms.")
    print("Download it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _fetch(entry: Entry, target: Path, wish: Wish) -> Downloaded:
    line, begin = ProgressLine(), time.monotonic()
    first: list[int] = []  # bytes that an earlier run fetched

    def progress(done: int, total: int) -> None:
        first[:] = first or [done]
        speed = max(done - first[0], 0) / max(time.monotonic() - begin, 0.1)
        line.show(f"{done * 100 // total:3}%  {size_text(done)} of {size_text(total)}, {size_text(int(speed))}/s")

    def notice(text: str) -> None:
        line.clear()
        for each in wrapped(text, "  "):
            print(each, file=sys.stderr)

    try:
        return download(
            entry,
            target.parent,
            allow_unverified=wish.allow_unverified,
            offline=wish.offline,
            manner=Manner(progress, notice),
        )
    finally:
        line.clear()


def _result(entry: Entry, done: Downloaded) -> list[str]:
    checked = "its SHA-256 is the catalogue's" if entry.sha256 else f"SHA-256 {done.sha256}, compared with nothing"
    what = "Downloaded" if done.fetched else "Here already"
    return wrapped(f"{what}: {done.path} ({size_text(done.size)}; {checked}).")


def _belongings(entry: Entry, folders: ModelFolders, catalogue: Catalogue) -> list[str]:
    """What else a downloaded file needs, unless a file with such a name is here. A LoRA is in the adapter's file."""
    lines: list[str] = []
    archive = Path(file_name(entry))
    if archive.suffix == ".zip":
        lines += wrapped(f"It is an archive: unpack its files into the folder models/{archive.stem} beside it.")
    for entries in (
        [each for each in catalogue.entries if each.id == entry.companion and each.kind != "lora"],
        [each for each in catalogue.entries if each.id == entry.face_pack],
        catalogue.find(kind="encoder", encoder=entry.encoder) if entry.kind == "adapter" else [],
    ):
        if entries and not any(_is_here(each, folders, catalogue) for each in entries):
            lines += wrapped(
                f"It needs {entries[0].title} as well, unless you have it under another name: get {entries[0].id}"
            )
    return lines


def _is_here(entry: Entry, folders: ModelFolders, catalogue: Catalogue) -> bool:
    return any(entry in catalogue.named(file.name) for file in folders.scan(entry.folder))
