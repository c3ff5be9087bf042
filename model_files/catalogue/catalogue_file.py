"""Read and check a catalogue file: a table says what each field may hold, and errors name the field that is wrong."""

from __future__ import annotations

import json
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

LARGEST = 1 << 20  # bytes of a catalogue file
LARGEST_MODEL = 1 << 50

Fields = Mapping[str, Any]
Check = Callable[[Any], bool]


class BrokenCatalogue(ValueError):
    """A catalogue file cannot be used: which entry and field is wrong, and what was expected there."""


@dataclass(frozen=True)
class Rule:
    expected: str  # completes "expected ..."
    allows: Check


def text(pattern: str = ".*") -> Check:
    whole = re.compile(pattern, re.ASCII).fullmatch
    return lambda value: isinstance(value, str) and value.isprintable() and whole(value) is not None


def texts(each: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(each, cast("list[Any]", value)))


def _is_file_name(value: Any) -> bool:
    """Whether this is a relative path with "/" that stays below its folder on every system and has no wildcards."""
    return text()(value) and not re.search(r'[\\:*?"<>|]|(^|/)[. ]*(/|$)', value)


def _are_file_names(value: Any) -> bool:
    """Whether these are file names, the first without folders because a download gets it."""
    return texts(_is_file_name)(value) and bool(value) and "/" not in value[0]


def _is_size(value: Any) -> bool:
    return value is None or type(value) is int and 0 < value < LARGEST_MODEL


LINE = text(r".*\S.*")
LINK = text(r"(https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d{1,5})?(/[!-~]*)?)?")

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "id": Rule("a name of letters, digits and . _ -, used once in a file", text(r"[A-Za-z0-9][\w.-]*")),
        "title": Rule("a line of text", LINE),
        "kind": Rule(
            "'adapter', 'encoder', 'lora', 'controlnet' or 'face pack'",
            text("adapter|encoder|lora|controlnet|face pack"),
        ),
        "family": Rule("a line of text", LINE),
        "base_model": Rule("a line of text, or '' for none", text()),
        "encoder": Rule("a line of text, or '' for none", text()),
        "purposes": Rule("a list of words", texts(LINE)),
        "folder": Rule("the name of one folder below models/, in letters, digits and _ -", text(r"[\w-]+")),
        "files": Rule(
            "a list of file names, with / after a folder and without .., the first without folders", _are_file_names
        ),
        "companion": Rule("the id of an entry of kind 'lora' or 'controlnet', or ''", text(r"[\w.-]*")),
        "face_pack": Rule("the id of an entry of kind 'face pack', or ''", text(r"[\w.-]*")),
        "size": Rule("a number of bytes, or null", _is_size),
        "sha256": Rule("64 hexadecimal digits, or ''", text("([0-9a-fA-F]{64})?")),
        "url": Rule("an https:// link, or ''", LINK),
        "page": Rule("an https:// link, or ''", LINK),
        "licence": Rule("a line of text, or '' where it is not known", text()),
        "commercial": Rule("true, false or null", lambda value: value is None or isinstance(value, bool)),
    }
)


def read_entries(path: Path) -> dict[str, Fields]:
    """{id: the fields that the file gives}, each checked by its rule.

    Raises:
        BrokenCatalogue: the file cannot be used; the text names the entry and the field, and says why.
    """
    found: dict[str, Fields] = {}
    for number, given in enumerate(_list(path), start=1):
        if "id" not in given:
            raise BrokenCatalogue(f"{path.name}: entry {number}: field 'id' is missing.")
        _check_fields(path, given)
        if given["id"] in found:
            raise broken(path, given, "id", "is also the id of an earlier entry in this file")
        found[given["id"]] = given
    return found


def broken(path: Path, entry: Fields, field: str, problem: str) -> BrokenCatalogue:
    where = f"{path.name}: entry {shown(entry['id'])}: field {field!r}"
    return BrokenCatalogue(f"{where} {problem}; expected {RULES[field].expected}.")


def shown(value: Any) -> str:
    """A value as a message shows it: short, and on one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)


def _list(path: Path) -> list[Fields]:
    try:
        document = json.loads(_read(path), object_pairs_hook=_without_doubles)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BrokenCatalogue(f"{path.name} cannot be read as a catalogue: {reason}.") from error
    entries = document.get("entries") if isinstance(document, _Object) and len(document) == 1 else None
    if not isinstance(entries, list) or not all(isinstance(entry, _Object) for entry in cast("list[Any]", entries)):
        raise BrokenCatalogue(f'{path.name} is not a catalogue: expected {{"entries": [{{"id": ..., ...}}, ...]}}.')
    return cast("list[Fields]", entries)


class _Object(dict[str, Any]):
    """A JSON object, told apart from any other dict."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> _Object:
    given = _Object(pairs)
    if len(given) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the field {shown(name)} is given twice in one entry")
    return given


def _read(path: Path) -> str:
    if not path.is_file():
        raise ValueError("there is no such file")
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    return data.decode("utf-8-sig")


def _check_fields(path: Path, given: Fields) -> None:
    if unknown := given.keys() - RULES.keys():
        where = f"{path.name}: entry {shown(given['id'])}"
        raise BrokenCatalogue(f"{where}: there is no field {shown(min(unknown))}. The fields are {', '.join(RULES)}.")
    for name, value in given.items():
        if not RULES[name].allows(value):
            raise broken(path, given, name, f"is {shown(value)}")
