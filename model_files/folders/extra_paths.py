"""Read an extra_model_paths.yaml as ComfyUI reads it (`utils/extra_config.py` of 0.30)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from ...tensor_files import printable

# Even a long file of this kind has only 10 KB. PyYAML takes minutes for deep nesting, and a few dozen aliases that
# repeat one another make a config of any size.
MAX_BYTES, MAX_DEPTH, MAX_ALIASES = 32 * 1024, 8, 32
MAX_DIGITS = 1000  # Python writes no number of more than 4,300, which may be the name of a folder


NUMBERS = tuple("+-0123456789")  # as they begin


class Addition(NamedTuple):
    """A folder for models of a type, to be searched after those already known, or before them."""

    type: str
    path: str
    first: bool = False  # before them: `is_default` in the file


def read_extra_paths(file: str) -> list[Addition]:
    """The folders that a file names, in the order in which ComfyUI adds them.

    Raises:
        ValueError: the file cannot be read, or ComfyUI would not accept it.
    """
    here = os.path.dirname(os.path.abspath(file))
    found: list[Addition] = []
    for name, section in _load(file).items():
        if not section:
            continue
        if not isinstance(section, dict):
            raise ValueError(
                f"{file}: {name!r:.80} is not a section with lines like `loras: path`. Is the line above it, which "
                "names the section, commented out, or is the line itself not indented?"
            )
        found += _section(cast("dict[Any, Any]", section), f"{file}, section {name!r:.80}", here)
    return found


def usable(path: str, where: str) -> str:
    """The path as it is. ValueError if no file system accepts it."""
    try:
        good = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        good = False
    if not good:
        raise ValueError(f"{where}: {path!r:.200} cannot be a path. Expected the name of a folder.")
    return path


def _section(section: dict[Any, Any], where: str, here: str) -> list[Addition]:
    base = here
    if "base_path" in section:  # popped as ComfyUI does, so that an alias of this section has none there either
        given = usable(_text(section.pop("base_path"), f"{where}, base_path"), where)
        base = os.path.join(here, os.path.expandvars(os.path.expanduser(given)))
    first = bool(section.pop("is_default", False))
    named = [(str(key), lines, f"{where}, {printable(str(key), 80)}") for key, lines in section.items()]
    return [
        Addition(key, os.path.normpath(os.path.join(base, usable(line, place))), first)
        for key, lines, place in named
        for line in _text(lines, place).split("\n")
        if line
    ]


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        got = "nothing" if value is None else f"a {type(value).__name__}"  # aliases make a value endless
        raise ValueError(
            f"{where}: expected a folder, or several after `|`, one per line; got {got}. "
            "ComfyUI does not start with this either."
        )
    return value


def _load(file: str) -> Mapping[Any, Any]:
    try:
        with open(file, "rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}.") from error
    if len(text) > MAX_BYTES:
        raise ValueError(f"{file} is longer than {MAX_BYTES // 1024} KB. Expected a list of folders.")
    try:
        config = _parse(text.decode())
    except ImportError as error:
        raise ValueError(
            f"{file} cannot be read without PyYAML, which comes with ComfyUI: pip install pyyaml"
        ) from error
    except Exception as error:  # PyYAML raises a dozen types: deep nesting, impossible dates, long numbers
        raise ValueError(f"{file} is not valid YAML: {_one_line(error)}. Indent with spaces, save as UTF-8.") from error
    if config and not isinstance(config, dict):
        raise ValueError(
            f"{file}: expected sections that hold lines like `loras: path`, got a {type(config).__name__}."
        )
    return cast("Mapping[Any, Any]", config or {})


def _parse(text: str) -> object:
    import yaml

    depth = aliases = 0
    events: Iterable[object] = cast("Any", yaml).parse(text)
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep, or has more than {MAX_ALIASES} aliases")
        if isinstance(event, yaml.ScalarEvent) and event.value[:1] in NUMBERS and len(event.value) > MAX_DIGITS:
            raise ValueError(f"it holds a number of more than {MAX_DIGITS:,} digits")
    return yaml.safe_load(text)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
