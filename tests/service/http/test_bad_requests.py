"""Every bad request of the table is refused in words, whatever of a route it is about, and no input has none."""

import re

import pytest

from image_prompt.service.http import standalone_handlers
from image_prompt.service.http.handlers import PARAMETERS

from ...bad_requests import check_cover, inputs_of
from .bad_requests import BAD_REQUESTS, FIELDS, NONE_OF_THESE, SENDER

EXCEPTIONS = {}
TYPES = {False: "invalid_request_error", True: "server_error"}


@pytest.mark.parametrize("row", BAD_REQUESTS, ids=lambda row: f"{row.route} {row.of}")
def test_a_bad_request_is_refused_in_words(libraries_server, row):
    method, path, body, headers = row.sent()
    fields = body if isinstance(body, dict) else {}
    status, answer, sent = libraries_server.ask(method, path, body if not fields else None, headers, **fields)
    error = answer["error"]
    assert status == row.status and re.search(row.message, error["message"])
    assert error["type"] == TYPES[status >= 500] and len(error["message"]) <= 1003
    assert str(libraries_server.base) not in str(answer) and "Traceback" not in str(answer)
    assert not [name for name in sent if name.lower().startswith("access-control")]
    if row.of.startswith(".") and row.of != "." and error["param"] is not None:
        assert error["param"] == row.of[1:]


@pytest.mark.parametrize("path", NONE_OF_THESE)
def test_other_paths_are_not_found(libraries_server, path):
    for method in ("GET", "POST"):
        status, answer, _ = libraries_server.ask(method, path)
        assert status == 404 and "/v1/embeddings, /v1/models, /image-prompt/" in answer["error"]["message"]


def test_every_input_of_every_route_has_a_bad_request():
    rows = standalone_handlers(None, hosts=lambda: (), libraries=None)
    routes = [(method, path) for method, path, _ in rows]
    wanted = inputs_of(routes, PARAMETERS, FIELDS.__getitem__)
    wanted |= {(path, of) for method, path in routes if method != "*" for of in SENDER}
    check_cover(BAD_REQUESTS, wanted, EXCEPTIONS)
