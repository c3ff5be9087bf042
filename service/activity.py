"""Counts and times of what was done, for a status page or a program that asks."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager


class Activity:
    """Counts things, and adds up how long they took. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)

    def count(self, what: str, number: int = 1) -> None:
        """Add a number to the count of something."""
        with self._lock:
            self._counts[what] += number

    @contextmanager
    def timed(self, what: str) -> Generator[None]:
        """Count a block of code and add its time in seconds, unless it raises an error."""
        begin = time.perf_counter()
        yield
        with self._lock:
            self._counts[what] += 1
            self._seconds[what] += time.perf_counter() - begin

    def summary(self) -> dict[str, dict[str, float]]:
        """What was done, how often, and the seconds that it took in total if they were measured."""
        with self._lock:
            return {
                what: {"count": number, **({"seconds": round(self._seconds[what], 3)} if what in self._seconds else {})}
                for what, number in sorted(self._counts.items())
            }
