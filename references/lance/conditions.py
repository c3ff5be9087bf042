"""Which pictures count, in the SQL of LanceDB (DataFusion). Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def condition(
    roots: Mapping[int, Path],
    exported_roots: Mapping[int, str],
    folder: str | None = None,
    rating: int | None = None,
    text: str | None = None,
) -> str | None:
    """As `references.library.Library.where` has it; None for all pictures.

    roots: {number: the folder on this machine}
    exported_roots: {number: the folder where the table was made}
    """
    tests = list[str]()
    if folder is not None:
        tests.append(_in_folder(roots, exported_roots, folder))
    if rating is not None:
        tests.append(f"rating >= {int(rating)}")
    if text:
        plain, escaped = quoted(text.lower()), quoted(json.dumps(text.lower(), ensure_ascii=False)[1:-1])
        searched = {"path": plain, "text": plain, "metadata": escaped}
        tests.append(_any(f"contains(lower({name}), {words})" for name, words in searched.items()))
    return " AND ".join(tests) or None


def _in_folder(roots: Mapping[int, Path], exported_roots: Mapping[int, str], folder: str) -> str:
    whole = Path(folder)
    if not whole.is_absolute():
        return _below(None, whole.as_posix())
    known = {**{number: Path(path) for number, path in exported_roots.items()}, **roots}
    tests = [
        _below(number, whole.relative_to(root).as_posix())
        for number, root in known.items()
        if whole.is_relative_to(root)
    ]
    tests += [_below(number, ".") for number, root in known.items() if root != whole and root.is_relative_to(whole)]
    return _any(tests)


def _below(root: int | None, folder: str) -> str:
    tests = [] if root is None else [f"root = {int(root)}"]
    if folder != ".":  # "0" follows "/", so that all between are below the folder
        tests += [f"path >= {quoted(f'{folder}/')}", f"path < {quoted(f'{folder}0')}"]
    return " AND ".join(tests) or "true"


def _any(tests: Iterable[str]) -> str:
    listed = [f"({test})" for test in tests]
    return f"({' OR '.join(listed)})" if listed else "false"


def quoted(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"
