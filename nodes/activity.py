"""Counts and times of what the nodes have done in this process, for the status route."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_seconds: dict[str, float] = defaultdict(float)


def count(what: str, number: int = 1) -> None:
    """Add a number to the count of something."""
    with _lock:
        _counts[what] += number


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Count a block of code and add its time in seconds, unless it raises an error."""
    begin = time.perf_counter()
    yield
    with _lock:
        _counts[what] += 1
        _seconds[what] += time.perf_counter() - begin


def summary() -> dict[str, dict[str, float]]:
    """What was done, how often, and the seconds that it took in total if they were measured."""
    with _lock:
        return {
            what: {"count": number, **({"seconds": round(_seconds[what], 3)} if what in _seconds else {})}
            for what, number in sorted(_counts.items())
        }
