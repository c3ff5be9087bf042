"""What routes answer when they fail, on a web server without ComfyUI."""

import asyncio
import json
import logging
from types import SimpleNamespace

import folder_paths
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.nodes import routes

DELETE, NEEDED, THUMBNAIL = (
    f"/image-prompt/{name}" for name in ("references/delete", "needed", "references/thumbnail")
)


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


def test_a_look_up_that_fails_is_answered_in_json(monkeypatch):
    table = web.RouteTableDef()
    monkeypatch.setattr(routes, "prompt_server", lambda: SimpleNamespace(routes=table))
    broken = {"/image-prompt/missing": routes.Lookup(lambda asked: {}[asked["name"]], ("name",))}
    monkeypatch.setattr(routes, "LOOKUPS", broken)
    routes.register_routes()

    async def talk():
        app = web.Application()
        app.add_routes(table)
        async with TestClient(TestServer(app)) as client, client.get("/image-prompt/missing?name=x") as answer:
            return answer.status, await answer.json()

    assert asyncio.run(talk()) == (500, {"error": "KeyError: 'x'"})


def test_what_is_not_ready_says_when_to_ask_again(monkeypatch):
    table = web.RouteTableDef()
    monkeypatch.setattr(routes, "prompt_server", lambda: SimpleNamespace(routes=table))
    later = routes.Lookup(lambda _: failing(routes.NotReady("Later."))(), ())
    monkeypatch.setattr(routes, "LOOKUPS", {"/image-prompt/missing": later})
    routes.register_routes()

    async def talk():
        app = web.Application()
        app.add_routes(table)
        async with TestClient(TestServer(app)) as client, client.get("/image-prompt/missing") as answer:
            return answer.status, answer.headers["Retry-After"], await answer.json()

    assert asyncio.run(talk()) == (503, "5", {"error": "Later."})


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


@pytest.fixture
def library(folders, tmp_path, monkeypatch):
    for name in ("input", "output"):
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    features = VisionFeatures(image_embeds=torch.rand(1, 8), encoder="CLIP ViT-H/14")
    save_features(folders / "image_prompts" / "cat.safetensors", features, image=torch.rand(1, 8, 8, 3))
    return folders / "image_prompts"


@pytest.fixture
def post(monkeypatch):
    """Send requests in turn: post((method, path, body, headers), ...) -> [(code, JSON or bytes)]. "{own}" is the Origin
    of a page of this server."""

    def post(*requests):
        table = web.RouteTableDef()
        monkeypatch.setattr(routes, "prompt_server", lambda: SimpleNamespace(routes=table))
        routes.register_routes()

        async def talk():
            app = web.Application()
            app.add_routes(table)
            async with TestClient(TestServer(app)) as client:
                own = str(client.make_url("")).rstrip("/")
                answers = []
                for method, path, body, headers in requests:
                    filled = {name: value.format(own=own) for name, value in headers.items()}
                    async with client.request(method, path, data=body, headers=filled) as answer:
                        is_json = answer.content_type == "application/json"
                        answers.append((answer.status, await (answer.json() if is_json else answer.read())))
                return answers

        return asyncio.run(talk())

    return post


JSON = {"Content-Type": "application/json"}
OWN_PAGE = JSON | {"Origin": "{own}"}
CAT = json.dumps({"name": "cat.safetensors"})


def test_a_page_of_this_server_deletes_what_it_lists(post, library):
    ((listed, body), (deleted, left), (again, why)) = post(
        ("GET", "/image-prompt/references", None, {}),
        ("POST", DELETE, CAT, OWN_PAGE | {"Sec-Fetch-Site": "same-origin"}),
        ("POST", DELETE, CAT, OWN_PAGE),
    )
    assert (listed, [each["name"] for each in body["references"]]) == (200, ["cat.safetensors"])
    assert (deleted, left) == (200, {"references": []}) and [*library.iterdir()] == []
    assert again == 404 and "Refresh the list" in why["error"]


def test_thumbnails_are_pictures_of_listed_names(post, library):
    (cat,) = post(("GET", f"{THUMBNAIL}?name=cat.safetensors&state=1", None, {}))
    assert cat[0] == 200 and cat[1].startswith(b"\x89PNG")


def test_a_graph_is_answered_without_an_origin(post, folders):
    (good,) = post(("POST", NEEDED, json.dumps({"nodes": []}), JSON))
    assert good == (200, {"items": [], "missing": 0, "notes": [], "unread": []})
