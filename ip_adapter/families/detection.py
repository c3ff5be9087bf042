"""Small checks of keys and shapes by which the kind of a file is detected. Each says why it does not hold.

The keys are those that `containers.normalise` collects: `image_proj.*`, `ip_adapter.N.*` and `lora.N.*` whatever the
container, and all others as in the file (nested dicts joined with dots). If the file has another name for a key of the
projection, the key is there under both names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ..loading import StateDict

Check = Callable[[StateDict], str]  # the objection; "" if the check holds


def has(pattern: str) -> Check:
    """Check that some key begins with this pattern."""
    find = re.compile(pattern).match
    return lambda sd: "" if any(find(key) for key in sd) else f"no key like {pattern}"


def lacks(pattern: str) -> Check:
    """Check that no key begins with this pattern."""
    find = re.compile(pattern).match
    return lambda sd: next((f"it has {key}" for key in sd if find(key)), "")


def holds(part: str, *names: str) -> Check:
    """Check that all of these keys are in a part."""
    return lambda sd: _joined("no ", sorted(name for name in names if f"{part}.{name}" not in sd))


def size(key: str, axis: int, wanted: int) -> Check:
    """Check that this tensor is present and has the size `wanted` along `axis`."""

    def objection(sd: StateDict) -> str:
        if key not in sd:
            return f"no {key}"
        shape = sd[key].shape
        name = key.removeprefix("image_proj.")
        return "" if shape[axis:][:1] == (wanted,) else f"{name} is {list(shape)}, not {wanted} wide"

    return objection


def sized(pattern: str, wanted: int) -> Check:
    """Check that every tensor whose key begins with this pattern has a side of the size `wanted`."""
    find = re.compile(pattern).match

    def objection(sd: StateDict) -> str:
        odd = (key for key, tensor in sd.items() if find(key) and wanted not in tensor.shape)
        return next((f"{key} is {list(sd[key].shape)}, no side of it {wanted}" for key in odd), "")

    return objection


def ratio(key: str, by: str, *, least: int, most: int | None = None) -> Check:
    """Check that the tensor `key` has `least` times as many rows as the tensor `by`, or more, up to `most` times."""

    def objection(sd: StateDict) -> str:
        rows, unit = _rows(sd, key), _rows(sd, by)
        if not unit or rows // unit < least:
            return f"{key} has {rows} rows, fewer than {least} times {unit}"
        return "" if most is None or rows // unit <= most else f"{key} has {rows} rows, more than {most} times {unit}"

    return objection


def why_not(checks: Iterable[Check], sd: StateDict) -> str:
    """The objection of the first check that does not hold; "" if all hold."""
    return next(filter(None, (check(sd) for check in checks)), "")


def _joined(before: str, names: list[str]) -> str:
    return f"{before}{', '.join(names)}" if names else ""


def _rows(sd: StateDict, key: str) -> int:
    return sd[key].shape[0] if key in sd and sd[key].ndim else 0
