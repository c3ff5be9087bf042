"""Read-only HTTP routes: which model files there are, and the state of the pack. They show no absolute paths.

They change nothing except the index of files that have been read. Every answer is JSON, also to what fails, to paths
that do not exist, and to methods that are not allowed.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..tensor_files import printable, without_folders
from .controls.blocks import published_table
from .folders import prompt_server
from .loading import model_library
from .status import status

ROOT = "/image-prompt"
PATIENCE = 5.0  # seconds to read files; the answer names those that are still to be read
FRESH = 1.0  # seconds for which the same answer is sent again
LONGEST = 1000  # characters of an error
HEADERS = {"Cache-Control": "no-store"}

Handler = Callable[[Any], Any]


class Answer:
    """The answer to a route, as (status, JSON). It is computed off the event loop, once for all that wait for it."""

    def __init__(self, compute: Callable[[], Any]):
        self._compute = compute
        self._running: asyncio.Task[tuple[int, str]] | None = None
        self._ended = 0.0
        self._error = ""  # of the last computation

    async def __call__(self) -> tuple[int, str]:
        if self._running is None or self._running.done() and time.monotonic() - self._ended > FRESH:
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)  # a request that is cancelled does not cancel the computation

    async def _run(self) -> tuple[int, str]:
        try:
            return await asyncio.to_thread(self._computed)
        finally:
            self._ended = time.monotonic()

    def _computed(self) -> tuple[int, str]:
        """An error is logged once, not at each of the requests of a page that asks again and again."""
        try:
            status, text, error = 200, json.dumps(self._compute(), allow_nan=False), ""
        except Exception as caught:
            error = _in_one_line(caught)
            status, text = 500, _error(error)
            if error != self._error:
                logging.getLogger(__name__).exception("A route of %s failed.", ROOT)
        self._error = error
        return status, text


ANSWERS: dict[str, Callable[[], Any]] = {
    f"{ROOT}/models": lambda: model_library.report(PATIENCE).to_dict(),
    f"{ROOT}/status": status,
    f"{ROOT}/blocks": published_table,
}


def register_routes() -> None:
    """Register the routes, if there is a server."""
    server = prompt_server()
    if server is not None:
        for path, compute in ANSWERS.items():
            server.routes.get(path)(_answering(Answer(compute)))
            server.routes.route("*", path)(
                _refusing(405, f"{path} only reads: use GET.", {**HEADERS, "Allow": "GET, HEAD"})
            )
        for path in (ROOT, f"{ROOT}/{{tail:.*}}"):
            server.routes.route("*", path)(_refusing(404, f"There is no such route. There are {', '.join(ANSWERS)}."))


def _answering(answer: Answer) -> Handler:
    from aiohttp import web

    async def handle(_: web.Request) -> web.Response:
        status, text = await answer()
        return web.json_response(text=text, status=status, headers=HEADERS)

    return handle


def _refusing(status: int, why: str, headers: Mapping[str, str] = HEADERS) -> Handler:
    from aiohttp import web

    async def handle(_: web.Request) -> web.Response:
        return web.json_response(text=_error(why), status=status, headers=headers)

    return handle


def _error(text: str) -> str:
    return json.dumps({"error": text})


def _in_one_line(error: Exception) -> str:
    """The text of an error; also its type, unless it is one of those that are written for people."""
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return printable(without_folders(" ".join(text.split())), LONGEST)
