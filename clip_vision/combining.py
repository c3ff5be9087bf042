"""Features of several references -> one. Letters: R references, B rows of each, W width."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Numbers(NamedTuple):
    """What some methods read beside the references. weights, interpolation: as `combine` takes them"""

    weights: Sequence[float]
    interpolation: float


def combine(
    features: Sequence[Tensor],
    method: str,
    rows: str = "row by row",
    *,
    weights: Sequence[float] = (),
    interpolation: float = 0.5,
) -> Tensor:
    """Join references of one feature, each (B, W) or (B, N, W), by a name of COMBINE_METHODS.

    "concat" puts their rows one after the other: (sum of B, ...). The others work row by row on equal B, a reference of
    one row serving every row, and give (B, ...):
    "add": the sum of the references. "subtract": the first minus the mean of the others. "average": the mean.
    "norm average": the mean of the references' unit vectors (last dimension), stretched to the mean of their norms.
    "weighted average": the mean, in which each reference counts by its number in `weights`, which is 0 or more.
    "interpolate": the straight way from the first of two references (`interpolation` 0) to the second (1).
    `rows`, a name of COMBINE_ROWS: "all together" takes every row for a reference of its own and gives (1, ...);
    "auto" does so with a single reference.
    ValueError: no reference, an unknown method, another rank, length or width (another encoder), rows that do not
    match, a single reference to subtract from, weights that do not fit or are not read, an interpolation outside 0..1
    or between more or less than two references.
    """
    if method not in COMBINE_METHODS:
        raise ValueError(f"Unknown way to combine {method!r}. Known: {', '.join(COMBINE_METHODS)}.")
    if rows not in ROWS:
        raise ValueError(f"Unknown way to take rows {rows!r}. Known: {', '.join(ROWS)}.")
    if not features:
        raise ValueError("There are no features to combine: give at least one reference.")
    if weights and method != "weighted average":
        raise ValueError(
            f"The weights {_listed(weights)} are given, and the method {method!r} reads none: choose "
            "'weighted average', or leave the weights out."
        )
    shapes = [tuple(feature.shape) for feature in features]
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(
            f"The references have features of different shapes {shapes}: they come from different "
            "encoders. Encode all of them with one."
        )
    references = ROWS[rows](features)
    if method in BY_NUMBERS:
        return BY_NUMBERS[method](references, Numbers(weights, interpolation))
    return METHODS[method](references)


def _row_by_row(features: Sequence[Tensor]) -> Sequence[Tensor]:
    return features


def _all_together(features: Sequence[Tensor]) -> Sequence[Tensor]:
    return [row for feature in features for row in torch.split(feature, 1)]


def _auto(features: Sequence[Tensor]) -> Sequence[Tensor]:
    return features if len(features) > 1 else _all_together(features)


def _stack(features: Sequence[Tensor]) -> Tensor:
    """The references as one tensor (R, B, ...)."""
    rows = max(len(feature) for feature in features)
    if any(len(feature) not in (1, rows) for feature in features):
        raise ValueError(
            f"The references have {[len(feature) for feature in features]} rows: every one needs 1 or "
            f'{rows}. Use "concat", references of equal batches, or take their rows "all together".'
        )
    return torch.stack([feature.expand(rows, *feature.shape[1:]) for feature in features])


def _add(features: Sequence[Tensor]) -> Tensor:
    return _stack(features).sum(0)


def _subtract(features: Sequence[Tensor]) -> Tensor:
    if len(features) < 2:
        rows = ", or take the rows of the batch all together" if len(features[0]) > 1 else ""
        raise ValueError(
            "To subtract takes two or more references, the first and those taken off it, and there is one: add another "
            f"picture, or choose another method{rows}."
        )
    stacked = _stack(features)
    return stacked[0] - stacked[1:].mean(0)


def _average(features: Sequence[Tensor]) -> Tensor:
    return _stack(features).mean(0)


def _norm_average(features: Sequence[Tensor]) -> Tensor:
    stacked = _stack(features)
    norms = stacked.square().sum(-1, keepdim=True).sqrt()  # (R, B, ..., 1)
    return F.normalize(F.normalize(stacked, dim=-1).mean(0), dim=-1) * norms.mean(0)


def _concat(features: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(features))


def _weighted_average(features: Sequence[Tensor], numbers: Numbers) -> Tensor:
    given, count = _listed(numbers.weights), len(features)
    if len(numbers.weights) != count:
        raise ValueError(
            f"The weighted average was given {len(numbers.weights)} weights ({given}) for {count} references: give one "
            f"number for each, as in {_listed([2, *[1] * (count - 1)])}. If the rows of a batch are taken all "
            "together, each is a reference."
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in numbers.weights) or not any(numbers.weights):
        raise ValueError(
            f"The weights of a weighted average are {given}: each must be a finite number, 0 or more, and one of them "
            "more than 0. To take one reference off another, choose 'subtract'."
        )
    return _weighted(features, numbers.weights)


def _interpolate(features: Sequence[Tensor], numbers: Numbers) -> Tensor:
    at = numbers.interpolation
    if len(features) != 2:
        raise ValueError(
            f"To interpolate takes exactly two references, the first and the second, and there are {len(features)}: "
            "give two, or choose 'weighted average'. If the rows of a batch are taken all together, each is a "
            "reference."
        )
    if not 0 <= at <= 1:
        raise ValueError(f"The interpolation is {at:g}: give 0 (the first reference) to 1 (the second).")
    return _weighted(features, (1 - at, at))


def _weighted(features: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The mean by weights. To the bit, equal weights give the mean, and references of weight 0 are as if not there."""
    largest = max(weights)
    counting = [number for number, weight in enumerate(weights) if weight / largest > 0]
    shares = [weights[number] / largest for number in counting]
    mean = sum(shares) / len(shares)
    stacked = _stack(features)
    return torch.stack([stacked[number] * (share / mean) for number, share in zip(counting, shares)]).mean(0)


def _listed(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights) or "none"


METHODS: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "concat": _concat,
    "add": _add,
    "subtract": _subtract,
    "average": _average,
    "norm average": _norm_average,
}
BY_NUMBERS: dict[str, Callable[[Sequence[Tensor], Numbers], Tensor]] = {
    "weighted average": _weighted_average,
    "interpolate": _interpolate,
}
COMBINE_BY_NUMBERS = tuple(BY_NUMBERS)
COMBINE_METHODS = (*METHODS, *BY_NUMBERS)

ROWS: dict[str, Callable[[Sequence[Tensor]], Sequence[Tensor]]] = {
    "auto": _auto,
    "all together": _all_together,
    "row by row": _row_by_row,
}
COMBINE_ROWS = tuple(ROWS)
