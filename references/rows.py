"""Vectors that were not made by an encoder just now: rows of a library, (N, D), of length 1."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor

TOLERANCE = 0.011  # a library takes vectors whose length is 0.01 off, and fp16 rounds them
BLOCK = 8192  # rows that are looked at together


def rows_of(vectors: Any) -> Tensor:
    """A numpy array or a tensor as a tensor (N, D), without a copy where there can be none. It is not to be written to.

    Raises:
        ValueError: another number of axes.
    """
    if not isinstance(vectors, Tensor):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            vectors = cast(Any, torch).from_numpy(vectors)  # untyped in torch
    rows = cast(Tensor, vectors)
    if rows.ndim != 2:
        raise ValueError(f"Vectors have the shape (N, D), not {tuple(rows.shape)}.")
    return rows


def check_lengths(rows: Tensor) -> None:
    """Refuse rows that are not of length 1, as fp16 rounds it, or hold no finite numbers, by a ValueError."""
    for begin in range(0, len(rows), BLOCK):
        lengths = rows[begin : begin + BLOCK].float().square().sum(dim=1).sqrt()
        wrong = ((lengths - 1).abs() <= TOLERANCE).logical_not()  # also of NaN
        if bool(wrong.any()):
            raise ValueError(
                f"Vector {begin + int(wrong.int().argmax()) + 1} of {len(rows)} is not of length 1: it is zero, was "
                "not normalised, or holds no finite numbers. `Embedding.of_vectors` normalises vectors."
            )
