"""The rows that score highest, exactly. Letters: Q queries, N rows, D numbers of each.

A fast matrix product with few digits finds candidates, which are scored again in float64. How far a fast score can be
off is known, so whatever may belong to the best is a candidate, and the result is that of float64 alone. Where a build
of torch is further off, because it also sums in fp16, everything is scored in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from ...clip_vision import best_dtype
from ..rows import TOLERANCE

MORE = 30  # candidates beyond those that are asked for: seldom are more of them within the error of the fast scores
FEW = 0.05  # below this share of rows, gathering them takes less time than scoring all
AT_ONCE = 1 << 25  # scores in memory
BLOCK = 8192  # rows that are cast at once
LONGEST = 1 + TOLERANCE  # of a row or a query


class Damaged(ValueError):
    """The rows are not what was written."""


def best_rows(
    rows: Tensor, queries: Tensor, k: int, minimum: float = -1e9, mask: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each query, the numbers of its k best rows and their scores in float64, best first; of equals, the first.

    rows: (N, D) fp16, of length 1
    queries: (Q, D) fp32, of length 1
    minimum: no lower score
    mask: (N,) bool, where to look

    Raises:
        Damaged: a row is not of length 1, or holds no finite numbers.
    """
    gathered = None
    if mask is not None and int(mask.sum()) < FEW * len(rows):
        gathered, mask = mask.nonzero()[:, 0], None
        rows = rows[gathered]
    at_once = max(1, AT_ONCE // max(1, len(rows)))
    for begin in range(0, len(queries), at_once):
        some = queries[begin : begin + at_once]
        fast = fast_scores(rows, some, fast_dtype(len(some) > 1))
        for query, scores in zip(some, fast, strict=True):
            numbers, exact = _best(rows, query, scores, k, minimum, mask)
            yield numbers if gathered is None else gathered[numbers], exact


@cache
def has_fp16() -> bool:
    """Whether the processor multiplies fp16 natively. Builds of torch that do not tell are taken to have none."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    return bool(capabilities.get("avx512_fp16"))


def fast_dtype(many: bool) -> torch.dtype:
    """In which one query, or many, are scored fastest. Reading fp16 rows is most of the work for one."""
    return torch.float16 if not many or has_fp16() else best_dtype("cpu")


def fast_scores(rows: Tensor, queries: Tensor, dtype: torch.dtype) -> Tensor:
    """(Q, N) in a dtype, each off by `off` at most."""
    queries = queries.to(dtype)
    if len(queries) == 1 and dtype is rows.dtype and not has_fp16():
        return torch.mv(rows, queries[0])[None]
    if dtype is rows.dtype:
        return queries @ rows.T
    scores = torch.empty(len(queries), len(rows), dtype=dtype)
    for begin in range(0, len(rows), BLOCK):
        block = slice(begin, begin + BLOCK)
        scores[:, block] = queries @ rows[block].to(dtype).T
    return scores


def off(query: Tensor, dtype: torch.dtype) -> float:
    """How far a product in a dtype is off before it is rounded: query and rows were rounded, and sums are in fp32."""
    of_query = float((query.double() - query.to(dtype).double()).square().sum().sqrt())
    of_rows = 0.0 if dtype is torch.float16 else torch.finfo(dtype).eps / 2
    return LONGEST * (of_query + of_rows + len(query) * 2**-24)


def exact_scores(rows: Tensor, query: Tensor, numbers: Tensor) -> Tensor:
    """The scores of some rows in float64, the same for equal rows."""
    query, scores = query.double(), torch.empty(len(numbers), dtype=torch.float64)
    for begin in range(0, len(numbers), BLOCK):
        block = slice(begin, begin + BLOCK)
        scores[block] = (rows[numbers[block]].double() * query).sum(dim=1)
    return scores


def _best(
    rows: Tensor, query: Tensor, fast: Tensor, k: int, minimum: float, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The numbers and scores of the best rows of one query, of which the fast scores (N,) are known."""
    if mask is not None:
        fast = fast.masked_fill(mask.logical_not(), -torch.inf)
    k = min(k, len(rows))
    top = fast.topk(min(k + MORE, len(rows)))
    if not bool((top.values < torch.inf).all()):
        raise Damaged("a vector without finite numbers")
    numbers = top.indices[top.values > -torch.inf].sort().values
    exact = exact_scores(rows, query, numbers)
    if bool((exact > LONGEST**2).any()):
        raise Damaged("a vector that is longer than 1")
    error, rounding = off(query, fast.dtype), torch.finfo(fast.dtype).eps / 2
    too_far = (fast[numbers].double() - exact).abs() > error + rounding * (exact.abs() + error)
    if fast.dtype is not torch.float32 and bool(too_far.any()):
        return _best(rows, query, fast_scores(rows, query[None], torch.float32)[0], k, minimum, mask)
    if len(numbers) == len(top.values) < len(rows):  # others may be as good
        lowest = max(float(exact.topk(k).values[-1]), minimum) - error
        lowest -= rounding * abs(lowest)
        if float(top.values[-1]) >= lowest:
            numbers = (fast >= lowest).nonzero()[:, 0]
            exact = exact_scores(rows, query, numbers)
    order = exact.argsort(descending=True, stable=True)[:k]
    order = order[exact[order] >= minimum]
    return numbers[order], exact[order]
