"""Find the pictures of a folder or of a list, and what each of them shows: its label, and its caption if it has one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ...tensor_files import printable
from ..filling.listing import list_entries, read_list
from ..filling.walk import FEATURES, walk

LARGEST = 1 << 26  # bytes of a file of labels
LONGEST = 1 << 16  # bytes of a caption
EXPECTED = 'Labels are a JSON file such as {"cats/tom.png": "cat", "rex.jpg": "dog"}, with paths from the folder on.'
HOW = (
    "Put the pictures of each label into a sub-folder of its name, or give the labels with --labels FILE.json or "
    "--pattern."
)

LabelOf = Callable[[str], str]  # of a path from the folder on; an empty text if it has none


@dataclass(frozen=True)
class Labelled:
    """A picture.

    path: from the folder on, with /
    label: what it shows
    caption: a sentence about it; empty where there is none
    """

    path: str
    whole: Path
    label: str
    caption: str = ""


@dataclass
class Labels:
    """What is compared.

    pictures: sorted by their paths, or as a list has them
    unlabelled: paths of pictures without a label, which are left out
    failed: (path, why) of what is named and not there
    """

    pictures: list[Labelled] = field(default_factory=list[Labelled])
    unlabelled: list[str] = field(default_factory=list[str])
    failed: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])


def find_labels(
    source: str | os.PathLike[str], *, labels: str | os.PathLike[str] | None = None, pattern: str | None = None
) -> Labels:
    """The pictures below a folder, or of a list, with their labels and captions.

    A caption is the text of a list, or that of NAME.txt beside NAME.png.

    source: a folder, or a JSON file as `filling.listing` describes
    labels: a JSON file with {path from the folder on: label}
    pattern: a regular expression, whose first group in the name of a file is its label
    Without both, the label is the first sub-folder of the path.

    Raises:
        ValueError: the source or the labels cannot be read, there is no picture, or there are less than two labels.
    """
    source = Path(os.path.abspath(source))
    folder = source if source.is_dir() else source.parent
    known = None if labels is None else read_labels(Path(labels))
    label_of = _label_of(known, pattern)
    found = Labels()
    files = _in_folder(folder, found) if source.is_dir() else _in_list(source, found)
    for path, whole, caption in files:
        if label := label_of(path):
            found.pictures.append(Labelled(path, whole, label, caption))
        else:
            found.unlabelled.append(path)
    there = {each.path for each in found.pictures}
    found.failed += [(folder / path, "It has a label, and is not there.") for path in known or () if path not in there]
    _check(found, source)
    return found


def read_labels(path: Path) -> dict[str, str]:
    """{path from the folder on: label} of a JSON file. ValueError if it is none."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        data: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(
            f"The labels {printable(str(path))} cannot be read: {error.strerror or error}. {EXPECTED}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{printable(path.name)} holds no labels: {printable(str(error), 200)}. {EXPECTED}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{printable(path.name)} holds no labels. {EXPECTED}")
    table = cast("Mapping[str, Any]", data)
    if wrong := [key for key, label in table.items() if not isinstance(label, str) or not label.strip()]:
        raise ValueError(f"The label of {printable(wrong[0], 200)!r} in {printable(path.name)} is no text. {EXPECTED}")
    return {Path(os.path.normpath(key)).as_posix(): str(label).strip() for key, label in table.items()}


def _label_of(known: Mapping[str, str] | None, pattern: str | None) -> LabelOf:
    if known is not None and pattern is not None:
        raise ValueError("--labels and --pattern both say which label a picture has: give one of them.")
    if known is not None:
        return lambda path: known.get(path, "")
    return _first_folder if pattern is None else _from_pattern(pattern)


def _first_folder(path: str) -> str:
    return path.partition("/")[0] if "/" in path else ""


def _from_pattern(pattern: str) -> LabelOf:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--pattern {printable(pattern, 200)!r} is no regular expression: {error}.") from error
    if not compiled.groups:
        raise ValueError(
            f"--pattern {printable(pattern, 200)!r} has no group: put what is the label into brackets, such as "
            '"^([a-z]+)_" for red_1.png.'
        )

    def label_of(path: str) -> str:
        match = compiled.search(path.rpartition("/")[2])
        return (match[1] or "").strip() if match else ""

    return label_of


def _in_folder(folder: Path, found: Labels) -> Iterator[tuple[str, Path, str]]:
    walked = walk(folder, ())
    found.failed += [(path, f"The folder cannot be read: {why}.") for path, why in walked.unreadable]
    for path in sorted(path for files in walked.files.values() for path, _, _ in files):
        if not path.lower().endswith(FEATURES):
            yield path, folder / path, _beside(folder / path)


def _in_list(source: Path, found: Labels) -> Iterator[tuple[str, Path, str]]:
    listed = read_list(source.parent, list_entries(source), ())
    found.failed += listed.absent
    for (root, path), said in listed.order.items():
        whole = root / path
        inside = whole.is_relative_to(source.parent)
        shown = whole.relative_to(source.parent).as_posix() if inside else whole.as_posix()
        yield shown, whole, said.text.strip() or _beside(whole)


def _beside(picture: Path) -> str:
    """The text of NAME.txt beside a picture; an empty one where there is none."""
    try:
        with open(picture.with_suffix(".txt"), "rb") as file:
            return file.read(LONGEST).decode(errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _check(found: Labels, source: Path) -> None:
    if not found.pictures and not found.unlabelled:
        raise ValueError(f"No picture was found in {printable(str(source))}.")
    if not found.pictures:
        raise ValueError(f"No picture in {printable(str(source))} has a label. {HOW}")
    names = {each.label for each in found.pictures}
    if len(names) < 2:
        raise ValueError(
            f"All labelled pictures have the same label, {printable(min(names), 200)!r}, so that whatever is found is "
            f"right: two labels are the fewest. {HOW}"
        )
