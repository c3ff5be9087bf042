"""What the nodes have done in this process, for the status route: counts and times."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_seconds: dict[str, float] = defaultdict(float)


def count(what: str, number: int = 1) -> None:
    with _lock:
        _counts[what] += number


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Counts what ends well, and how long it took."""
    begin = time.perf_counter()
    yield
    with _lock:
        _counts[what] += 1
        _seconds[what] += time.perf_counter() - begin


def summary() -> dict[str, dict[str, float]]:
    """By what was done: how often, and the seconds in all where they were taken."""
    with _lock:
        return {
            what: {"count": number, **({"seconds": round(_seconds[what], 3)} if what in _seconds else {})}
            for what, number in sorted(_counts.items())
        }
