"""What routes answer when they fail, on a web server without ComfyUI."""

import asyncio
import json
import logging
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from image_prompt.nodes import routes


@pytest.fixture
def answers(monkeypatch):
    """Ask a route whose answer is computed by `compute`, several times at once: answers(compute) -> [(code, JSON)]."""

    def answers(compute, times=1, apart=False):
        table = web.RouteTableDef()
        monkeypatch.setattr(routes, "prompt_server", lambda: SimpleNamespace(routes=table))
        monkeypatch.setattr(routes, "ANSWERS", {"/image-prompt/state": compute})
        monkeypatch.setattr(routes, "FRESH", -1.0)
        routes.register_routes()

        async def ask(client):
            async with client.get("/image-prompt/state") as answer:
                assert answer.content_type == "application/json"
                return answer.status, json.loads(await answer.text())

        async def talk():
            app = web.Application()
            app.add_routes(table)
            async with TestClient(TestServer(app)) as client:
                if apart:
                    return [await ask(client) for _ in range(times)]
                return await asyncio.gather(*(ask(client) for _ in range(times)))

        return asyncio.run(talk())

    return answers


def failing(error):
    def compute():
        raise error

    return compute


@pytest.mark.parametrize(
    ("compute", "text"),
    [
        (failing(ValueError("The catalogue is broken.")), "The catalogue is broken."),
        (failing(KeyError("a")), "KeyError: 'a'"),
        (
            failing(FileNotFoundError(2, "No such file", "/home/me/models/a.bin")),
            "FileNotFoundError: [Errno 2] No such file: 'a.bin'",
        ),
        (failing(RuntimeError("two\nlines\x1b")), "RuntimeError: two lines\N{REPLACEMENT CHARACTER}"),
        (lambda: {"text": object()}, "TypeError: Object of type object is not JSON serializable"),
        (lambda: float("nan"), "Out of range float values are not JSON compliant"),
    ],
)
def test_every_error_is_json_and_logged_with_its_traceback(answers, caplog, compute, text):
    ((code, body),) = answers(compute)
    assert code == 500 and list(body) == ["error"] and body["error"].startswith(text)
    (record,) = (record for record in caplog.records if record.name.endswith("nodes.routes"))
    assert record.levelno == logging.ERROR and record.exc_info


def test_the_same_error_is_logged_once_until_it_is_gone(answers, caplog):
    errors = iter([KeyError("a"), KeyError("a"), KeyError("b"), None, KeyError("b")])

    def compute():
        if error := next(errors):
            raise error

    codes = [code for code, _ in answers(compute, times=5, apart=True)]
    assert codes == [500, 500, 500, 200, 500]
    assert [str(record.exc_info[1]) for record in caplog.records] == ["'a'", "'b'", "'b'"]


def test_all_that_wait_get_the_error_and_it_is_logged_once(answers, caplog):
    found = answers(failing(KeyError("a")), times=20)
    assert found == [(500, {"error": "KeyError: 'a'"})] * 20
    assert len(caplog.records) == 1
