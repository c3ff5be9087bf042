"""Embeddings and libraries over HTTP, for any server of aiohttp: ComfyUI's, or that of `serve`.

Every answer is JSON, also to what fails. None is ever shown to a page of another site, and none holds a whole path.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...tensor_files import printable
from ..embedding.model import UnknownModel
from .answers import embeddings_answer, model_answer, models_answer, similarity_answer
from .errors import NotListed, Refused, answer_to
from .given import parameters
from .guard import JSON, Heads, check_content, check_sender
from .libraries import SEARCH
from .limits import Limits
from .reading import embeddings_asked, similarity_asked
from .running import Abandoned, Room, Threads, result_of

if TYPE_CHECKING:
    from ..embedding import EmbeddingService
    from .libraries import LibraryAnswers

ROOT = "/image-prompt"
FEW = 2048  # numbers that are written sooner than another thread would begin
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

STANDALONE = (
    *("/v1/embeddings", "/v1/models", f"{ROOT}/embeddings", f"{ROOT}/similarity"),
    *(f"{ROOT}/libraries", f"{ROOT}/libraries/NAME/search"),
)

PARAMETERS: Mapping[str, tuple[str, ...]] = {f"{ROOT}/libraries/{{name}}/search": (*SEARCH, "model")}  # others: none

Handler = Callable[[Any], Awaitable[Any]]  # of a request of aiohttp
Begun = tuple[Future[Any], Callable[[Any], bytes]]  # what is computed, and how that is written
Rows = list[tuple[str, str, Handler]]


def handlers(
    service: EmbeddingService,
    *,
    limits: Limits = Limits(),
    hosts: Callable[[], Collection[str]],
    is_open: Callable[[], str] = lambda: "",
    check_ready: Callable[[], object] = lambda: None,
    libraries: LibraryAnswers | None,
) -> Rows:
    """The routes, as (method, path, handler), for aiohttp's tables of routes, which add HEAD to each GET.

    They are registered in this order: "*" refuses all other methods.

    hosts: names that the server may be called by, beside localhost and plain IP addresses
    is_open: why nothing is answered now; an empty text if it is
    check_ready: raises a Busy where nothing can be computed now; called before the body of a request is read
    libraries: those that are searched; None for none
    """
    return _Routes(service, limits, hosts, is_open, check_ready, libraries).rows()


def standalone_handlers(
    service: EmbeddingService,
    *,
    limits: Limits = Limits(),
    hosts: Callable[[], Collection[str]],
    libraries: LibraryAnswers | None,
) -> Rows:
    """As `handlers`, with the paths of OpenAI, and the list of libraries, which ComfyUI has besides."""
    return _Routes(service, limits, hosts, lambda: "", lambda: None, libraries).standalone_rows()


class _Routes:
    def __init__(
        self,
        service: EmbeddingService,
        limits: Limits,
        hosts: Callable[[], Collection[str]],
        is_open: Callable[[], str],
        check_ready: Callable[[], object],
        libraries: LibraryAnswers | None,
    ) -> None:
        self._service, self._limits, self._libraries = service, limits, libraries
        self._hosts, self._is_open, self._check_ready = hosts, is_open, check_ready
        self._threads, self._room = Threads(), Room(limits.bodies)
        self._logged = ""  # the last error that was logged

    def rows(self) -> Rows:
        return [
            *self._row(f"{ROOT}/embeddings", get=self._info, post=self._embeddings),
            *self._row(f"{ROOT}/similarity", post=self._similarity),
            *self._row(f"{ROOT}/libraries/{{name}}/search", get=self._search),
        ]

    def standalone_rows(self) -> Rows:
        return [
            *self.rows(),
            *self._row("/v1/embeddings", post=self._embeddings),
            *self._row("/v1/models", get=self._models),
            *self._row("/v1/models/{name:.+}", get=self._one_model),
            *self._row(f"{ROOT}/libraries", get=self._listed),
            ("*", r"/{tail:[\s\S]*}", self._answering(self._unknown)),
        ]

    def _row(self, path: str, *, get: _Compute | None = None, post: _Begin | None = None) -> Rows:
        found: Rows = []
        known = PARAMETERS.get(path, ())
        if get is not None:
            found.append(("GET", path, self._answering(get, known)))
        if post is not None:
            found.append(("POST", path, self._answering_post(post, known)))
        allowed = ", ".join("GET, HEAD" if method == "GET" else method for method, _, _ in found)

        def refuse(*_: Any) -> bytes:
            raise Refused(405, f"This takes {allowed} alone.", headers={"Allow": allowed})

        return [*found, ("*", path, self._answering(refuse))]

    # ---------------------------------------------------------------------------------------------------- computing

    def _embeddings(self, body: bytearray) -> Begun:
        asked = embeddings_asked(body, self._limits)
        model, as_base64 = asked.model, asked.as_base64  # what waits for the result holds no pictures
        future = self._service.submit(model, asked.inputs, asked.wish)
        return future, lambda embedded: embeddings_answer(model, embedded, as_base64)

    def _similarity(self, body: bytearray) -> Begun:
        asked = similarity_asked(body, self._limits)
        model = asked.model
        future = self._service.submit_comparison(model, asked.a, asked.b, asked.wish)
        return future, lambda compared: similarity_answer(model, compared)

    def _info(self, _: Any) -> bytes:
        return _json({**self._service.info(), "limits": asdict(self._limits)})

    def _models(self, _: Any) -> bytes:
        return _json(models_answer(self._service.names()))

    def _one_model(self, request: Any) -> bytes:
        name = request.match_info["name"]
        if name not in self._service.names():
            known = ", ".join(self._service.names())
            raise UnknownModel(f"No encoder is called {printable(name, 100)!r}. There are: {known}.")
        return _json(model_answer(name))

    def _listed(self, _: Any) -> bytes:
        return _json({"libraries": []} if self._libraries is None else self._libraries.listed())

    def _search(self, request: Any) -> bytes:
        name = request.match_info["name"]
        if self._libraries is None:
            raise NotListed("No libraries are known here.")
        return _json(self._libraries.search(name, dict(request.query)))

    def _unknown(self, _: Any) -> bytes:
        raise Refused(404, f"There is no such route. There are {', '.join(STANDALONE)}.", code="not_found")

    # ---------------------------------------------------------------------------------------------------- answering

    def _answering(self, compute: _Compute, known: Sequence[str] | None = None) -> Handler:
        """known: the parameters that the address may have; None where they do not matter"""

        async def handle(request: Any) -> Any:
            try:
                self._check(request)
                if known is not None:
                    parameters(request.query.items(), known)
                return _response(await self._threads.run(lambda: compute(request)))
            except Exception as error:
                return self._failed(error)

        return handle

    def _answering_post(self, begin: _Begin, known: Sequence[str]) -> Handler:
        async def handle(request: Any) -> Any:
            try:
                check_content(self._check(request))
                parameters(request.query.items(), known)
                self._check_ready()
                body = await self._body(request)
                with self._room.held(len(body)):
                    future, write = await self._threads.run(lambda: begin(body))
                    body.clear()
                    result = await result_of(future, request)
                    if result.numbers <= FEW:
                        return _response(write(result))
                    return _response(await self._threads.run(lambda: write(result)))
            except Exception as error:
                return self._failed(error)

        return handle

    def _check(self, request: Any) -> Heads:
        heads = heads_of(request)
        check_sender(heads, self._hosts())
        if why := self._is_open():
            raise Refused(403, why, code="off")
        return heads

    async def _body(self, request: Any) -> bytearray:
        """Raises a Refused if it is too large, which is then read no further."""
        from aiohttp.web import RequestPayloadError

        too_large = Refused(413, f"The request is larger than {self._limits.body:,} bytes: send less at once.")
        if (request.content_length or 0) > self._limits.body:
            raise too_large
        found = bytearray()
        try:
            async for part in request.content.iter_chunked(1 << 16):
                found += part
                if len(found) > self._limits.body:
                    raise too_large
        except (OSError, RequestPayloadError) as error:
            raise Refused(400, "The body of the request did not arrive whole.") from error
        return found

    def _failed(self, error: Exception) -> Any:
        """An error of the server is logged once, not for each of the requests of a client that asks again and again."""
        answer = answer_to(error)
        if isinstance(error, Abandoned):
            return _response(b"", 503)  # which nobody reads
        if answer.status == 500 and (said := f"{type(error).__name__}: {error}") != self._logged:
            self._logged = said
            logging.getLogger(__name__).error("A request for embeddings failed.", exc_info=error)
        response = _response(_json(answer.content), answer.status, answer.headers)
        if answer.status in (403, 413, 415):
            response.force_close()  # a body that was not read
        return response


_Compute = Callable[[Any], bytes]  # of a request
_Begin = Callable[[bytearray], Begun]  # with its body


def heads_of(request: Any) -> Heads:
    headers = request.headers
    return Heads(
        host=tuple(headers.getall("Host", ())),
        origin=tuple(headers.getall("Origin", ())),
        fetch_site=tuple(headers.getall("Sec-Fetch-Site", ())),
        content_type=request.content_type if "Content-Type" in headers else "",
        content_encoding=headers.get("Content-Encoding", ""),
    )


def _response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    from aiohttp import web

    return web.Response(body=body, status=status, content_type=JSON, headers={**HEADERS, **(headers or {})})


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False).encode()
