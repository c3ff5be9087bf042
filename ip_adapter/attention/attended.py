"""What the queries of a layer attend to beside the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Weights = Sequence[float]


@dataclass(frozen=True, eq=False)
class Attended:
    """An image prompt in one layer, for neighbouring rows of a call.

    rows: from a start to a stop
    key, value: (R, T, I), the key from `scale_key`; R is 1 or the number of rows
    mask: (1 or the number of rows, L) how much of the image prompt each latent token takes, or None for all of it
    number: which of the weights that a call brings is its own
    """

    rows: slice
    key: Tensor
    value: Tensor
    mask: Tensor | None = None
    number: int = 0


class Step(Protocol):
    """A part of what a call of a layer does, as `Plan.__call__`."""

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None: ...


def scale_key(key: Tensor, heads: int) -> Tensor:
    """The key (R, T, I) with the softmax scale in it, which no call changes."""
    return key * (key.shape[-1] // heads) ** -0.5


def by_head(x: Tensor, heads: int) -> Tensor:
    """(..., N, I) -> (..., H, N, D), a view."""
    return x.view(*x.shape[:-1], heads, -1).transpose(-2, -3)
