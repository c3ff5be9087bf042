"""Read-only HTTP routes: which model files there are, and the state of the pack. They show no absolute paths.

They change nothing except the index of files that have been read.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from . import model_library
from .folders import prompt_server
from .status import status

PATIENCE = 5.0  # seconds to read files; the answer names those that are still to be read
FRESH = 1.0  # seconds for which the same answer is sent again


class Answer:
    """The answer to a route. It is computed off the event loop, once for all requests that wait for it."""

    def __init__(self, compute: Callable[[], Any]):
        self._compute = compute
        self._running: asyncio.Task[Any] | None = None
        self._ended = 0.0

    async def __call__(self) -> Any:
        if self._running is None or self._running.done() and time.monotonic() - self._ended > FRESH:
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)  # a request that is cancelled does not cancel the computation

    async def _run(self) -> Any:
        try:
            return await asyncio.to_thread(self._compute)
        finally:
            self._ended = time.monotonic()


ANSWERS: dict[str, Callable[[], Any]] = {
    "/image-prompt/models": lambda: model_library.report(PATIENCE).to_dict(),
    "/image-prompt/status": status,
}


def register_routes() -> None:
    """Register the routes, if there is a server. Its router refuses all methods except GET and HEAD."""
    server = prompt_server()
    if server is not None:
        for path, compute in ANSWERS.items():
            server.routes.get(path)(_handler(Answer(compute)))


def _handler(answer: Answer) -> Callable[[Any], Any]:
    from aiohttp import web

    async def handle(_: web.Request) -> web.Response:
        try:
            return web.json_response(await answer(), headers={"Cache-Control": "no-store"})
        except ValueError as error:  # the user's catalogue is broken
            return web.json_response({"error": str(error)}, status=500)

    return handle
