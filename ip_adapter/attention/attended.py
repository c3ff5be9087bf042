"""The image prompts that the queries of a layer attend to in addition to the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from ..families import Combine

Weights = Sequence[float]


@dataclass(frozen=True, eq=False)
class Attended:
    """An image prompt in one layer, for neighbouring rows of a call.

    rows: slice with a start and a stop
    key, value: (R, T, I), where R is 1 or the number of rows; the key comes from `scale_key`
    mask: (1 or the number of rows, L), how much of it each latent token takes, from 0 to 1; None: all of it
    number: the index of its weight among the weights of a call
    combine: how it joins the text attention; steps for others than "add" are in `COMBINED`
    layer: what of the adapter's layer has to be there while the model runs, if its step needs any
    """

    rows: slice
    key: Tensor
    value: Tensor
    mask: Tensor | None = None
    number: int = 0
    combine: Combine = "add"
    layer: nn.Module | None = None


@dataclass(frozen=True, eq=False)
class Beside:
    """What a block offers to image prompts besides its query. Which of it there is depends on the architecture.

    text: the result of the text attention, or the hidden states after a block, (B, L, I), if they add to something else
    key, value: those of the picture's own attention, (B, L, I), as the model norms them
    scales: the weights of the norms of the model's queries and keys, (D,) each; None: there is no such norm
    embedding: of the timestep, (B, E)
    """

    text: Tensor | None = None
    key: Tensor | None = None
    value: Tensor | None = None
    scales: tuple[Tensor | None, Tensor | None] = (None, None)
    embedding: Tensor | None = None


NOTHING = Beside()


class Step(Protocol):
    """A part of a `Plan`. It is called like the plan, and adds the attention to some of the image prompts."""

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None: ...


class ReadingStep(Protocol):
    """A part of a `Plan` that depends on what the block offers. `rows`: the rows whose text attention it reads."""

    @property
    def rows(self) -> slice: ...

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None: ...


def scale_key(key: Tensor, heads: int) -> Tensor:
    """The key (R, T, I) times the softmax scale, (I / heads) ** -0.5, so that calls need not apply it."""
    return key * (key.shape[-1] // heads) ** -0.5


def by_head(x: Tensor, heads: int) -> Tensor:
    """Split the inner width into heads: (..., N, I) -> (..., H, N, D), a view."""
    return x.view(*x.shape[:-1], heads, -1).transpose(-2, -3)


def query_by_head(q: Tensor, heads: int) -> Tensor:
    """A query (B, L, I) or (B, L, H, D) as (B, H, L, D), a view."""
    return by_head(q, heads) if q.ndim == 3 else q.transpose(1, 2)
