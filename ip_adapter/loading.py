"""What every file here that builds a module shares: the host's layers, sizes read with care, strict filling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor, nn

StateDict = Mapping[str, Tensor]
Read = Callable[[str], Tensor]  # the values of a key of the file


class Ops(Protocol):
    """Where layers come from: `torch.nn`, or a host's namespace whose layers cast their weights to the input."""

    @property
    def Linear(self) -> Callable[..., nn.Module]: ...

    @property
    def LayerNorm(self) -> Callable[..., nn.Module]: ...


def shape_of(sd: StateDict, key: str, rank: int) -> tuple[int, ...]:
    """The shape of one tensor; ValueError where it is absent, empty or of another rank."""
    if key not in sd:
        raise ValueError(f"The adapter file is incomplete: {key} is missing.")
    shape = tuple(sd[key].shape)
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"The adapter file is damaged: {key} has shape {list(shape)}, expected {rank} dimensions.")
    return shape


def divide(total: int, by: int, what: str) -> int:
    """total / by, which must be whole: a remainder is a damaged file."""
    if total % by:
        raise ValueError(f"The adapter file is damaged: {what} has {total} rows, not a multiple of {by}.")
    return total // by


def check_shapes(expected: StateDict, given: StateDict) -> None:
    """ValueError that names what is missing, left over or of the wrong shape."""
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
    """The first few names and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
