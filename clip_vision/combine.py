"""Features of several references -> one. Letters: R references, B rows of each, W width."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def combine(features: Sequence[Tensor], method: str) -> Tensor:
    """Join references of one feature, each (B, W) or (B, N, W), by a name of COMBINE_METHODS.

    "concat" puts their rows one after the other: (sum of B, ...). The others work row by row on equal B, a reference of
    one row serving every row, and give (B, ...):
    "add": the sum of the references. "subtract": the first minus the mean of the others. "average": the mean.
    "norm average": the mean of the references' unit vectors (last dimension), stretched to the mean of their norms.
    ValueError: no reference, an unknown method, another rank, length or width (another encoder), rows that do not
    match, a single reference to subtract from.
    """
    if method not in METHODS:
        raise ValueError(f"Unknown way to combine {method!r}. Known: {', '.join(METHODS)}.")
    if not features:
        raise ValueError("There are no features to combine: give at least one reference.")
    shapes = [tuple(feature.shape) for feature in features]
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(
            f"The references have features of different shapes {shapes}: they come from different "
            "encoders. Encode all of them with one."
        )
    return METHODS[method](features)


def _stack(features: Sequence[Tensor]) -> Tensor:
    """(R, B, ...)."""
    rows = max(len(feature) for feature in features)
    if any(len(feature) not in (1, rows) for feature in features):
        raise ValueError(
            f"The references have {[len(feature) for feature in features]} rows: every one needs 1 or "
            f'{rows}. Use "concat", or references of equal batches.'
        )
    return torch.stack([feature.expand(rows, *feature.shape[1:]) for feature in features])


def _add(features: Sequence[Tensor]) -> Tensor:
    return _stack(features).sum(0)


def _subtract(features: Sequence[Tensor]) -> Tensor:
    if len(features) < 2:
        raise ValueError("To subtract takes two or more references: the first, and those taken off it.")
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


METHODS: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "concat": _concat,
    "add": _add,
    "subtract": _subtract,
    "average": _average,
    "norm average": _norm_average,
}
COMBINE_METHODS = tuple(METHODS)
