"""Compute off the event loop, for as long as somebody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .errors import Refused

THREADS = 32  # that wait for the encoder, so that it sees many requests at once and joins them
LOOKED = 0.5  # seconds after which it is looked whether a client is still there


class Abandoned(Exception):
    """Nobody waits for the answer any more."""


class Threads:
    """Threads of its own: those that Python shares are few, and others need them.

    bodies: bytes of requests that may be computed, or wait for that, at once
    """

    def __init__(self, bodies: int) -> None:
        self._bodies, self._held = bodies, 0
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, request: Any, compute: Callable[[Callable[[], None]], bytes], size: int = 0) -> bytes:
        """compute(check), whose `check` raises Abandoned once the client is gone. Called by the event loop alone.

        size: bytes of the request

        Raises:
            Refused: there is too much to do already.
            Abandoned: the client is gone.
        """
        if self._held and self._held + size > self._bodies:
            raise Refused(503, "There is too much to do at once: ask again in a moment.", code="busy", headers=SOON)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "image-prompt-http")
        gone = threading.Event()

        def check() -> None:
            if gone.is_set():
                raise Abandoned

        self._held += size
        running = asyncio.get_running_loop().run_in_executor(self._pool, compute, check)
        try:
            while not (await asyncio.wait([running], timeout=LOOKED))[0]:
                if request.transport is None:
                    raise Abandoned
            return running.result()
        finally:
            gone.set()
            running.cancel()  # if it has not begun yet
            self._held -= size


SOON = {"Retry-After": "1"}
