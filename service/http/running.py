"""Compute off the event loop, for as long as somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from .errors import Refused

THREADS = 32
LOOKED = 0.5  # seconds after which it is looked whether a client is still there
SOON = {"Retry-After": "1"}
T = TypeVar("T")


class Abandoned(Exception):
    """Nobody waits for the answer any more."""


class Room:
    """Room for requests that are computed, or wait for that. Used by the event loop alone.

    size: bytes
    """

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0

    @contextmanager
    def held(self, size: int) -> Generator[None]:
        """Raises a Refused if there is no room now. Where nothing is held, anything has room."""
        if self._held and self._held + size > self._size:
            raise Refused(503, "There is too much to do at once: ask again in a moment.", code="busy", headers=SOON)
        self._held += size
        try:
            yield
        finally:
            self._held -= size


class Threads:
    """Threads of its own: those that Python shares are few, and others wait for them."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, compute: Callable[[], T]) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "image-prompt-http")
        return await asyncio.get_running_loop().run_in_executor(self._pool, compute)


async def result_of(future: Future[T], request: Any) -> T:
    """The result of what is computed for a request of aiohttp. It is cancelled once the client is gone.

    Raises:
        Abandoned: the client is gone.
    """
    waiting = asyncio.wrap_future(future)
    try:
        while not (await asyncio.wait([waiting], timeout=LOOKED))[0]:
            if request.transport is None:
                raise Abandoned
        return waiting.result()
    finally:
        waiting.cancel()  # and with it the future; nothing, if it is done
