"""Do passes in the background, by name: those that somebody waits for first, and each once for all who ask."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterable

TICK = 0.2  # seconds between two reports of the progress


class Passes:
    """A daemon thread that runs while there are passes to do.

    run(name): does one pass. It asks `must_yield` now and then; if that is true, it stops and returns False, and is
        called again later.
    idle(): is called after each pass, once those who waited for it have been released.
    """

    def __init__(self, run: Callable[[str], bool], idle: Callable[[], None]):
        self._run, self._idle = run, idle
        self._condition = threading.Condition()
        self._worker: threading.Thread | None = None
        self._closed = False
        self._running = ""
        self._somebody_waits = False  # for the pass that is running now
        self._urgent: list[str] = []
        self._later: list[str] = []
        self._asked: dict[str, int] = {}  # how many passes were asked for, by name
        self._done: dict[str, int] = {}

    @property
    def is_busy(self) -> bool:
        return self._worker is not None

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def must_yield(self) -> bool:
        return self._closed or bool(self._urgent and not self._somebody_waits)

    def request(self, urgent: Iterable[str], later: Iterable[str]) -> dict[str, int]:
        """Ask for passes, and get the tickets with which to `wait` for the urgent ones."""
        with self._condition:
            tickets = {name: self._request(name, True) for name in urgent}
            for name in later:
                self._request(name, False)
            if self._worker is None and not self._closed and (self._urgent or self._later):
                self._worker = threading.Thread(target=self._work, name="image prompt index", daemon=True)
                self._worker.start()
                _working.add(self)
        return tickets

    def wait(
        self, tickets: dict[str, int], timeout: float | None = None, tick: Callable[[], object] = lambda: None
    ) -> None:
        """Wait until the passes are done, the time is over, or `close` was called.

        tick: is called again and again while waiting, and may raise an error to stop it
        """

        def ready() -> bool:
            return self._closed or all(self._done.get(name, 0) >= number for name, number in tickets.items())

        end = time.monotonic() + (threading.TIMEOUT_MAX if timeout is None else timeout)
        while True:
            with self._condition:
                if self._condition.wait_for(ready, min(TICK, max(0.0, end - time.monotonic()))):
                    return
            if time.monotonic() >= end:
                return
            tick()

    def close(self, timeout: float = 5.0) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            worker = self._worker
        if worker:
            worker.join(timeout)

    def _request(self, name: str, urgent: bool) -> int:
        first = name not in self._done
        if name == self._running and (first or not urgent):  # that pass is enough
            self._somebody_waits |= urgent
        elif name in self._later and urgent:
            self._later.remove(name)
            self._urgent.append(name)
        elif name not in self._later and name not in self._urgent:
            self._asked[name] = self._asked.get(name, 0) + 1
            (self._urgent if urgent else self._later).append(name)
        return self._asked[name]

    def _work(self) -> None:
        while name := self._next():
            number = self._asked[name]
            finished = self._attempt(lambda: self._run(name), name)
            with self._condition:
                self._running = ""
                if finished:
                    self._done[name] = number
                elif name not in self._urgent:
                    self._later.insert(0, name)
                self._condition.notify_all()
            self._attempt(self._idle, name)

    def _attempt(self, what: Callable[[], object], name: str) -> bool:
        """Call `what`: False if it had to yield. An error counts as done, so that nobody waits for ever."""
        try:
            return what() is not False
        except Exception:
            logging.getLogger(__name__).exception("The pass over %s failed.", name)
            return True

    def _next(self) -> str:
        with self._condition:
            if self._closed or not (self._urgent or self._later):
                self._worker = None
                _working.discard(self)
                return ""
            self._somebody_waits = bool(self._urgent)
            self._running = (self._urgent or self._later).pop(0)
            return self._running


_working: set[Passes] = set()  # those whose thread runs


@atexit.register
def _close_all() -> None:
    """Stop the threads when the program ends: one that is inside torch then would abort the process."""
    for passes in tuple(_working):
        passes.close()
