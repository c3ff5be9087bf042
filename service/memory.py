"""Encode with less memory when a device runs out of it: fewer pictures at a time, and in the end on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..tensor_files.placement import is_out_of_memory

CHUNKS = (8, 2, 1)  # pictures in one forward pass
T = TypeVar("T")


def with_less_memory(
    attempt: Callable[[int], T],
    on_cpu: Callable[[], T],
    *,
    is_short: Callable[[Exception], bool] = is_out_of_memory,
    on_retry: Callable[[int, str], object] = lambda chunk, instead: None,
    chunks: Sequence[int] = CHUNKS,
) -> T:
    """The result of `attempt`, with fewer and fewer pictures at a time as long as memory runs out, else of `on_cpu`.

    Args:
        attempt: computes it with at most so many pictures in one forward pass
        on_cpu: computes it on the CPU
        is_short: whether an error means that memory ran out. Any other error is raised
        on_retry: is told with how many pictures memory ran out, and what is tried next
        chunks: how many pictures are tried, the most first
    """
    for chunk in chunks:
        try:
            return attempt(chunk)
        except Exception as error:
            if not is_short(error):
                raise
        on_retry(chunk, "fewer" if chunk > chunks[-1] else "the CPU")  # the error has let go of its tensors by now
    return on_cpu()
