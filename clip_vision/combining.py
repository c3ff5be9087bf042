"""Features of several references -> one. Letters: R references, B rows of each, W width."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def combine(features: Sequence[Tensor], method: str, rows: str = "row by row") -> Tensor:
    """Join references of one feature, each (B, W) or (B, N, W), by a name of COMBINE_METHODS.

    "concat" puts their rows one after the other: (sum of B, ...). The others work row by row on equal B, a reference of
    one row serving every row, and give (B, ...):
    "add": the sum of the references. "subtract": the first minus the mean of the others. "average": the mean.
    "norm average": the mean of the references' unit vectors (last dimension), stretched to the mean of their norms.
    `rows`, a name of COMBINE_ROWS: "all together" takes every row for a reference of its own and gives (1, ...);
    "auto" does so with a single reference.
    ValueError: no reference, an unknown method, another rank, length or width (another encoder), rows that do not
    match, a single reference to subtract from.
    """
    if method not in METHODS:
        raise ValueError(f"Unknown way to combine {method!r}. Known: {', '.join(METHODS)}.")
    if rows not in ROWS:
        raise ValueError(f"Unknown way to take rows {rows!r}. Known: {', '.join(ROWS)}.")
    if not features:
        raise ValueError("There are no features to combine: give at least one reference.")
    shapes = [tuple(feature.shape) for feature in features]
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(
            f"The references have features of different shapes {shapes}: they come from different "
            "encoders. Encode all of them with one."
        )
    return METHODS[method](ROWS[rows](features))


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
        raise ValueError(
            "To subtract takes two or more references, the first and those taken off it, and there is one: connect "
            "another, choose another method, or take the rows of a batch all together."
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


METHODS: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "concat": _concat,
    "add": _add,
    "subtract": _subtract,
    "average": _average,
    "norm average": _norm_average,
}
COMBINE_METHODS = tuple(METHODS)

ROWS: dict[str, Callable[[Sequence[Tensor]], Sequence[Tensor]]] = {
    "auto": _auto,
    "all together": _all_together,
    "row by row": _row_by_row,
}
COMBINE_ROWS = tuple(ROWS)
