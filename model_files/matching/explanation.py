"""Explain why a file is missing or does not fit, in the same way wherever that happens."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...tensor_files import printable
from ..catalogue import Entry
from ..folders.face_packs import BELOW
from ..index import IndexedFile
from .requirement import Resolution, short
from .support import APPLIED_TO, refusal
from .wording import entry_words, identity_words

REJECTED, MISPLACED, WANTED = 4, 2, 2  # lines of each
HUGGING_FACE = "Hugging Face cache"  # in place of the folder of a file that is there


def explain(resolution: Resolution, given: str = "") -> str:
    """What was given, what is needed, and which file on this disk would do, or which to get and where to put it.

    The text has at most a dozen lines, and names files without absolute paths.

    given: a sentence about what was given instead
    """
    return "\n".join(map(printable, _lines(resolution, given)))


def _lines(resolution: Resolution, given: str) -> Iterator[str]:
    if given:
        yield given
    if resolution.found:
        yield f"Needed: {resolution.need}. On this disk: {named(resolution.found)}, {_what(resolution.found)}."
        return
    base = resolution.need.base_model
    if resolution.need.kind == "adapter" and base and base not in APPLIED_TO and not resolution.wanted:
        applied = f"IP-Adapters are applied to {', '.join(APPLIED_TO)} models here, not to {base}."
        yield f"{applied} Connect a model of one of these kinds."
        return
    yield f"Not found: {resolution.need}. {_searched(resolution)}"
    yield from _some([f"- {named(file)}: {reason(file, why)}" for file, why in resolution.rejected], REJECTED)
    yield from _some(
        [
            f"{_where(file)}: {named(file)}, {_what(file)}. {put_it(file, *resolution.homes)}"
            for file in resolution.misplaced
        ],
        MISPLACED,
    )
    if resolution.misplaced:
        return
    if not resolution.wanted:
        yield _nothing_published(resolution)
    place = short(resolution.searched)[0] if resolution.searched and len(resolution.homes) == 1 else ""
    yield from _some([advice(entry, place) for entry in resolution.wanted], WANTED)
    if resolution.unread:
        yield f"Still being read: {', '.join(resolution.unread)}. Ask again to see whether it is there."


def _nothing_published(resolution: Resolution) -> str:
    base = resolution.need.base_model
    known = f" For {base} there are: {', '.join(resolution.published)}." if base and resolution.published else ""
    return f"No such file is known to be published.{known}"


def advice(entry: Entry, place: str = "") -> str:
    """What to do about a published file that is missing. `place` is the folder that is searched first."""
    if why_not := refusal(entry):
        return f"{entry.title} is published ({entry.page or entry.url}), but this pack does not apply it. {why_not}"
    source, folder = entry.url or entry.page or "its author", place or f"models/{entry.folder}"
    what_to_do = unpack_it(entry, folder) if is_archive(entry) else f"put it into {folder}"
    return f"Get {entry_words(entry)} from {source} and {what_to_do}."


def is_archive(entry: Entry) -> bool:
    """Whether an entry is published as an archive that has to be unpacked."""
    return entry.files[0].endswith(".zip")


def unpack_it(entry: Entry, folder: str) -> str:
    """What to do with the archive of a face pack. folder: that of all face packs"""
    names = [file.rpartition("/")[2] for file in entry.files[1:3]]
    inside = f", so that {' and '.join(names)} are in it" if names else ""
    return f"unpack it into {folder}/{BELOW}/{entry.files[0].removesuffix('.zip')}{inside}"


def _searched(resolution: Resolution) -> str:
    if not resolution.searched:
        return f"There is no folder for it: no folder of the type {' or '.join(resolution.homes)} is known."
    folders = [
        name + _trouble(path) for name, path in zip(short(resolution.searched), resolution.searched, strict=True)
    ]
    return f"Looked in {', '.join(folders)}{':' if resolution.rejected else '.'}"


def _trouble(folder: Path) -> str:
    """Why no file in a folder is found, to follow its name."""
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        return " (does not exist)"
    except NotADirectoryError:
        return " (is not a folder)"
    except PermissionError:
        return " (may not be read)"
    except OSError as error:
        return f" (cannot be read: {error.strerror})"
    return ""


def _some(lines: list[str], count: int) -> Iterable[str]:
    left = len(lines) - count
    return lines if left <= 0 else [*lines[:count], f"(and {left} more)"]


def named(file: IndexedFile) -> str:
    return f"{HUGGING_FACE if file.file.cached else file.file.type}/{file.file.name}"


def put_it(file: IndexedFile, *homes: str) -> str:
    """What to do with a file that cannot be used from where it is."""
    verb = "Copy or link it" if file.file.cached else "Move it"
    return f"{verb} to {' or '.join(f'models/{home}' for home in homes)}."


def _where(file: IndexedFile) -> str:
    return "On this disk" if file.file.cached else "On this disk, in the wrong folder"


def reason(file: IndexedFile, why: str) -> str:
    """A problem without the file's name, for a line that begins with that name."""
    return why.removeprefix(file.file.path.name).lstrip(": ")


def about(file: IndexedFile) -> str:
    """What is wrong with a file, or what it is if nothing is wrong, for a line that begins with its name."""
    return reason(file, file.problem) or (identity_words(file.identity) if file.identity else "")


def _what(file: IndexedFile) -> str:
    return identity_words(file.identity) if file.identity else "unreadable"
