"""The image prompts that the queries of a layer attend to in addition to the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..families import Combine

Weights = Sequence[float]


@dataclass(frozen=True, eq=False)
class Attended:
    """An image prompt in one layer, for neighbouring rows of a call.

    rows: slice with a start and a stop
    key, value: (R, T, I), where R is 1 or the number of rows; the key comes from `scale_key`
    mask: (1 or the number of rows, L), how much of it each latent token takes, from 0 to 1; None: all of it
    number: the index of its weight among the weights of a call
    combine: how it joins the text attention; orthogonal.py says what others than "add" do
    """

    rows: slice
    key: Tensor
    value: Tensor
    mask: Tensor | None = None
    number: int = 0
    combine: Combine = "add"


class Step(Protocol):
    """A part of a `Plan`. It is called like the plan, and adds the attention to some of the image prompts."""

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None: ...


class ReadingStep(Protocol):
    """A part of a `Plan` that depends on the text's output. `rows`: the rows of the call whose output it reads."""

    @property
    def rows(self) -> slice: ...

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, text: Tensor | None = None) -> None: ...


def scale_key(key: Tensor, heads: int) -> Tensor:
    """The key (R, T, I) times the softmax scale, (I / heads) ** -0.5, so that calls need not apply it."""
    return key * (key.shape[-1] // heads) ** -0.5


def by_head(x: Tensor, heads: int) -> Tensor:
    """Split the inner width into heads: (..., N, I) -> (..., H, N, D), a view."""
    return x.view(*x.shape[:-1], heads, -1).transpose(-2, -3)
