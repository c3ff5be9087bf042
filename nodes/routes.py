"""Read-only routes: what model files are there, and the state of the pack. No absolute paths.

They change nothing but what is remembered of files that were looked into.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from . import model_library
from .host import prompt_server
from .status import status

PATIENCE = 5.0  # seconds for a look at the files; what was not read by then is named
FRESH = 1.0  # seconds that an answer serves all who ask


class Answer:
    """One computation at a time, off the event loop, however many ask for it."""

    def __init__(self, compute: Callable[[], Any]):
        self._compute = compute
        self._running: asyncio.Task[Any] | None = None
        self._ended = 0.0

    async def __call__(self) -> Any:
        if self._running is None or self._running.done() and time.monotonic() - self._ended > FRESH:
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)  # who leaves does not take it along

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
    """Where there is a server. Anything but GET and HEAD is refused by the router."""
    server = prompt_server()
    if server is not None:
        for path, compute in ANSWERS.items():
            server.routes.get(path)(_handler(Answer(compute)))


def _handler(answer: Answer) -> Callable[[Any], Any]:
    from aiohttp import web

    async def handle(_: web.Request) -> web.Response:
        try:
            return web.json_response(await answer(), headers={"Cache-Control": "no-store"})
        except ValueError as error:  # a broken catalogue of the user
            return web.json_response({"error": str(error)}, status=500)

    return handle
