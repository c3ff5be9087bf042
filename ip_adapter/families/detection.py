"""How a kind of file is told from its keys and shapes: small checks, each of which says why not.

The keys are those of `containers.read_container`: every part in one naming, `image_proj.*`, `ip_adapter.N.*`,
`lora.N.*`, all others as in the file (nested dicts joined with dots). Where the file spells a key of the projection in
its own way, it is there under both spellings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ..loading import StateDict

Check = Callable[[StateDict], str]  # the objection; "" if the check holds


def has(pattern: str) -> Check:
    """Some key begins with this pattern."""
    find = re.compile(pattern).match
    return lambda sd: "" if any(find(key) for key in sd) else f"no key like {pattern}"


def lacks(pattern: str) -> Check:
    """No key begins with this pattern."""
    find = re.compile(pattern).match
    return lambda sd: next((f"it has {key}" for key in sd if find(key)), "")


def holds(part: str, *names: str) -> Check:
    """All of these keys are in a part."""
    return lambda sd: _joined("no ", sorted(name for name in names if f"{part}.{name}" not in sd))


def size(key: str, axis: int, wanted: int) -> Check:
    """This tensor is present, and `wanted` long along `axis`."""

    def objection(sd: StateDict) -> str:
        if key not in sd:
            return f"no {key}"
        shape = sd[key].shape
        name = key.removeprefix("image_proj.")
        return "" if shape[axis:][:1] == (wanted,) else f"{name} is {list(shape)}, not {wanted} wide"

    return objection


def ratio(key: str, by: str, *, least: int) -> Check:
    """The first axis of one tensor is at least so many times that of another."""

    def objection(sd: StateDict) -> str:
        rows, unit = _rows(sd, key), _rows(sd, by)
        return "" if unit and rows // unit >= least else f"{key} has {rows} rows, fewer than {least} times {unit}"

    return objection


def why_not(checks: Iterable[Check], sd: StateDict) -> str:
    """The first objection; "" if all checks hold."""
    return next(filter(None, (check(sd) for check in checks)), "")


def _joined(before: str, names: list[str]) -> str:
    return f"{before}{', '.join(names)}" if names else ""


def _rows(sd: StateDict, key: str) -> int:
    return sd[key].shape[0] if key in sd and sd[key].ndim else 0
