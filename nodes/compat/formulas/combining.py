"""Make one row of the rows of several references, or bring their number to that of pictures."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def combined(rows: Tensor, method: str) -> Tensor:
    """Rows (N, ...) of features as the method combines them: all of them if it is "concat", else one (1, ...).

    Raises:
        ValueError: the method is not known, or there are no rows.
    """
    if method not in COMBINING:
        raise ValueError(f"The method is {method!r:.60}: choose one of {', '.join(COMBINING)}.")
    return COMBINING[method](_some(rows))


def held(rows: Tensor, count: int) -> Tensor:
    """The first `count` rows. If there are fewer, the last one follows again. ValueError if there are none."""
    if len(_some(rows)) >= count:
        return rows[:count]
    return torch.cat((rows, rows[-1:].expand(count - len(rows), *rows.shape[1:])))


def _some(rows: Tensor) -> Tensor:
    if not len(rows):
        raise ValueError("There are no features, because a batch is empty: connect one that holds pictures.")
    return rows


def _added(rows: Tensor) -> Tensor:
    return rows.sum(0, keepdim=True)


def _subtracted(rows: Tensor) -> Tensor:
    """The first row less the mean of the others."""
    return rows if len(rows) == 1 else rows[:1] - _mean(rows[1:])


def _mean(rows: Tensor) -> Tensor:
    return rows.mean(0, keepdim=True)


def _norm_average(rows: Tensor) -> Tensor:
    """The mean after each place was divided by its norm over all rows. A place that is 0 in all of them stays 0."""
    norms = torch.linalg.vector_norm(rows, dim=0, keepdim=True)
    return _mean(rows / norms.where(norms != 0, 1))


def _largest(rows: Tensor) -> Tensor:
    return rows.amax(0, keepdim=True)


def _smallest(rows: Tensor) -> Tensor:
    return rows.amin(0, keepdim=True)


COMBINING: Mapping[str, Callable[[Tensor], Tensor]] = {
    "concat": lambda rows: rows,
    "add": _added,
    "subtract": _subtracted,
    "average": _mean,
    "norm average": _norm_average,
    "max": _largest,
    "min": _smallest,
}
