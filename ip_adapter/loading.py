"""Helpers to build modules from the tensors of a file: types, sizes that are checked, and a strict comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

StateDict = Mapping[str, "Tensor"]
Read = Callable[[str], "Tensor"]  # key in the file -> tensor with its values


class Ops(Protocol):
    """The namespace that layers come from: `torch.nn`, or one whose layers cast their weights to the input's dtype."""

    @property
    def Linear(self) -> Callable[..., nn.Module]: ...

    @property
    def LayerNorm(self) -> Callable[..., nn.Module]: ...


def shape_of(sd: StateDict, key: str, rank: int) -> tuple[int, ...]:
    """The shape of one tensor. Raises a ValueError if it is missing, empty or of another rank."""
    if key not in sd:
        raise ValueError(f"The adapter file is incomplete: {key} is missing.")
    shape = tuple(sd[key].shape)
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"The adapter file is damaged: {key} has shape {list(shape)}, expected {rank} dimensions.")
    return shape


def part_of(sd: StateDict, name: str) -> StateDict:
    """The tensors whose keys begin with `name` and a dot, without these."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in sd.items() if key.startswith(f"{name}.")}


def divide(total: int, by: int, what: str) -> int:
    """total / by. Raises a ValueError if there is a remainder, because then the tensor named `what` is damaged."""
    if total % by:
        raise ValueError(f"The adapter file is damaged: {what} has {total} rows, not a multiple of {by}.")
    return total // by


def check_shapes(expected: StateDict, given: StateDict) -> None:
    """Raise a ValueError that names the keys that are missing, left over or of the wrong shape, if there are any."""
    wrong = [
        f"{key} is {list(given[key].shape)}, expected {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key in given and given[key].shape != tensor.shape
    ]
    missing = [key for key in expected if key not in given]
    unexpected = [key for key in given if key not in expected]
    problems = [
        f"{title}: {first(keys)}"
        for title, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", wrong))
        if keys
    ]
    if problems:
        raise ValueError(f"The adapter file is incomplete or damaged ({'; '.join(problems)}).")


def first(names: list[str], count: int = 4) -> str:
    """The first `count` names, and how many more there are, as text."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
