"""HTTP routes: which model files there are, the state of the pack, saved features, and libraries of pictures.

They show no absolute paths.

Those of `ANSWERS`, `LOOKUPS`, `PICTURES` and `QUESTIONS` only read; they change nothing except the index of files that
have been read. Those of `CHANGES` obey a page of this server alone. Every answer but a picture is JSON, also to what
fails, to paths that do not exist, and to methods that are not allowed. The routes of `serving` compute embeddings for
programs, and are off unless a file says otherwise.

Even to a request from this machine no path is told in full: behind a proxy every request seems to come from it.
"""

import asyncio
import json
import logging
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..model_files.environment import pack_version
from ..service.http.errors import Refused
from ..service.http.given import parameters, read_json
from ..service.http.libraries import SEARCH
from ..tensor_files import printable, without_folders
from .controls.blocks import published_table
from .folders import prompt_server
from .loading import model_library
from .notices import missing
from .panels.graph import Graph
from .panels.needed import needed
from .panels.references import NotListed, delete, references, thumbnail
from .reference_library.answers import NotReady, listed_libraries, search_answer, small_picture
from .serving.routes import served
from .status import status

ROOT = "/image-prompt"
PATIENCE = 5.0  # seconds to read files; the answer names those that are still to be read
FRESH = 1.0  # seconds for which the same answer is sent again
RETRY_AFTER = "5"  # seconds until what is not ready may be
LONGEST = 1000  # characters of an error
LARGEST = 4 << 20  # bytes of a question
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
PICTURE_HEADERS = HEADERS | {"Cache-Control": "private, max-age=86400"}  # its address has the state of the file

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
    f"{ROOT}/version": lambda: {"version": pack_version()},
    f"{ROOT}/blocks": published_table,
    f"{ROOT}/references": references,
    f"{ROOT}/libraries": listed_libraries,
}


@dataclass(frozen=True)
class Lookup:
    """What is found by what the address says, and which parameters it may have."""

    find: Callable[[Mapping[str, str]], Any]
    parameters: tuple[str, ...]


LOOKUPS: dict[str, Lookup] = {
    f"{ROOT}/missing": Lookup(lambda asked: missing(asked.get("input", ""), asked.get("name", "")), ("input", "name")),
    f"{ROOT}/libraries/search": Lookup(search_answer, ("library", *SEARCH)),
}
PICTURES: dict[str, Lookup] = {  # PNG; with `state`, the address of another state of the file is another one
    f"{ROOT}/references/thumbnail": Lookup(lambda asked: thumbnail(asked.get("name", "")), ("name", "state")),
    f"{ROOT}/libraries/picture": Lookup(small_picture, ("library", "id", "state")),
}
QUESTIONS: dict[str, Callable[[Any], Any]] = {f"{ROOT}/needed": lambda given: needed(Graph.of(given))}
CHANGES: dict[str, Callable[[Any], Any]] = {f"{ROOT}/references/delete": delete}


def register_routes() -> None:
    """Register the routes, if there is a server."""
    server = prompt_server()
    if server is not None:
        for path, handle in {
            **{path: _answering(Answer(compute)) for path, compute in ANSWERS.items()},
            **{path: _looking_up(find) for path, find in LOOKUPS.items()},
            **{path: _picturing(find) for path, find in PICTURES.items()},
        }.items():
            server.routes.get(path)(handle)
            server.routes.route("*", path)(
                _refusing(405, f"{path} only reads: use GET.", {**HEADERS, "Allow": "GET, HEAD"})
            )
        for path, compute in {**QUESTIONS, **CHANGES}.items():
            server.routes.post(path)(_obeying(compute, only_own_page=path in CHANGES))
            server.routes.route("*", path)(_refusing(405, f"{path} takes POST alone.", {**HEADERS, "Allow": "POST"}))
        rows = served()
        for method, path, handle in rows:
            server.routes.route(method, path)(handle)
        of_service = dict.fromkeys(path for _, path, _ in rows)
        known = ", ".join((*ANSWERS, *LOOKUPS, *PICTURES, *QUESTIONS, *CHANGES, *of_service))
        for path in (ROOT, f"{ROOT}/{{tail:.*}}"):
            server.routes.route("*", path)(_refusing(404, f"There is no such route. There are {known}."))


def _answering(answer: Answer) -> Handler:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        try:
            parameters(request.query.items(), ())
        except ValueError as error:
            return web.json_response(text=_error(_in_one_line(error)), status=400, headers=HEADERS)
        status, text = await answer()
        return web.json_response(text=text, status=status, headers=HEADERS)

    return handle


def _looking_up(lookup: Lookup) -> Handler:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        status, text = await _computed(lambda query: lookup.find(parameters(query, lookup.parameters)), _query(request))
        headers = HEADERS | ({"Retry-After": RETRY_AFTER} if status == 503 else {})
        return web.json_response(text=text, status=status, headers=headers)

    return handle


def _picturing(lookup: Lookup) -> Handler:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        try:
            png = await asyncio.to_thread(lookup.find, parameters(_query(request), lookup.parameters))
        except ValueError as error:
            status = 404 if isinstance(error, NotListed) else 400
            return web.json_response(text=_error(_in_one_line(error)), status=status, headers=HEADERS)
        return web.Response(body=png, content_type="image/png", headers=PICTURE_HEADERS)

    return handle


def _query(request: Any) -> list[tuple[str, str]]:
    return list(request.query.items())


def _obeying(compute: Callable[[Any], Any], only_own_page: bool) -> Handler:
    """Answer a POST of JSON. only_own_page: whether it must come from a page that this server has sent"""
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        try:
            _check_head(request, only_own_page)
            given = read_json(await _body(request))
        except Refused as refused:
            status, text = refused.status, _error(_in_one_line(refused))
        else:
            status, text = await _computed(compute, given)
        return web.json_response(text=text, status=status, headers=HEADERS)

    return handle


def _check_head(request: Any, only_own_page: bool) -> None:
    """Raises a Refused if a POST is not obeyed, whatever its body says."""
    if only_own_page and not _is_of_own_page(request):
        raise Refused(403, "This is obeyed only when a page of this server asks for it: its Origin has to be the Host.")
    if request.content_type != "application/json":  # a form of another site can send anything else
        raise Refused(415, "Send JSON, with the Content-Type application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "Send the JSON as it is, without a Content-Encoding.")
    parameters(_query(request), ())


def _is_of_own_page(request: Any) -> bool:
    origin = urllib.parse.urlsplit(request.headers.get("Origin", ""))
    host = request.headers.get("Host", "").lower()
    is_same = origin.scheme in ("http", "https") and host != "" and origin.netloc.lower() == host
    return is_same and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"


async def _computed(compute: Callable[[Any], Any], given: Any) -> tuple[int, str]:
    try:
        return 200, json.dumps(await asyncio.to_thread(compute, given), allow_nan=False)
    except NotListed as error:
        return 404, _error(_in_one_line(error))
    except NotReady as error:
        return 503, _error(_in_one_line(error))
    except ValueError as error:
        return 400, _error(_in_one_line(error))
    except Exception as error:
        logging.getLogger(__name__).exception("A route of %s failed.", ROOT)
        return 500, _error(_in_one_line(error))


async def _body(request: Any) -> bytes:
    """The body of a request. Raises a Refused if it is too large, or does not arrive."""
    from aiohttp.web import RequestPayloadError

    found = bytearray()
    try:
        async for part in request.content.iter_chunked(1 << 16):
            found += part
            if len(found) > LARGEST:
                raise Refused(413, f"The request is larger than {LARGEST:,} bytes: send less at once.")
    except (OSError, RequestPayloadError) as error:
        raise Refused(400, "The body of the request did not arrive whole.") from error
    return bytes(found)


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
