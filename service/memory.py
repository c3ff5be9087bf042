"""Encode with less memory when a device runs out of it: fewer pictures at a time, and in the end on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

CHUNKS = (8, 2, 1)  # pictures in one forward pass
WORDS = ("out of memory", "can't allocate memory", "alloc_failed")  # in the errors of MPS, the CPU, cuBLAS
T = TypeVar("T")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch says that a device has no memory left. Not every device has its own type for it."""
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in said for words in WORDS)


def with_less_memory(
    attempt: Callable[[int], T],
    on_cpu: Callable[[], T],
    *,
    is_short: Callable[[Exception], bool] = is_out_of_memory,
    on_retry: Callable[[int, str], object] = lambda chunk, instead: None,
) -> T:
    """The result of `attempt`, with fewer and fewer pictures at a time as long as memory runs out, else of `on_cpu`.

    Args:
        attempt: computes it with at most so many pictures in one forward pass
        on_cpu: computes it on the CPU
        is_short: whether an error means that memory ran out. Any other error is raised
        on_retry: is told with how many pictures memory ran out, and what is tried next
    """
    for chunk in CHUNKS:
        try:
            return attempt(chunk)
        except Exception as error:
            if not is_short(error):
                raise
        on_retry(chunk, "fewer" if chunk > CHUNKS[-1] else "the CPU")  # the error has let go of its tensors by now
    return on_cpu()
