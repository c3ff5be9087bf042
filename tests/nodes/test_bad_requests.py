"""Every bad request of the table is refused in words by the routes of ComfyUI, and no input of a route has none."""

import asyncio
import json
import re
import shutil
import threading
import urllib.parse
from http.client import HTTPConnection
from types import SimpleNamespace

import folder_paths
import numpy as np
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestServer

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.nodes import routes
from image_prompt.nodes.serving.routes import served
from image_prompt.references.library import NewPicture, Writer, libraries_folder
from image_prompt.references.space import Space

from ..bad_requests import check_cover, inputs_of
from .bad_requests import BAD_REQUESTS, FIELDS, LIBRARY, PARAMETERS, SAVED, SENDER

OF_FILES = "it only tells one address from another, and is not read"
EXCEPTIONS = {
    (f"{routes.ROOT}/references/thumbnail", "?state"): OF_FILES,
    (f"{routes.ROOT}/libraries/picture", "?state"): OF_FILES,
}
LONGEST = 1003


def registered(monkeypatch) -> web.RouteTableDef:
    table = web.RouteTableDef()
    monkeypatch.setattr(routes, "prompt_server", lambda: SimpleNamespace(routes=table))
    routes.register_routes()
    return table


@pytest.fixture(scope="module")
def address():
    """A web server with the routes, as (host, port)."""
    with pytest.MonkeyPatch.context() as patch:
        table = registered(patch)
    started, end = threading.Event(), []

    async def run():
        application = web.Application()
        application.add_routes(table)
        server = TestServer(application)
        await server.start_server()
        stop = asyncio.Event()
        end.extend((server, asyncio.get_running_loop(), stop))
        started.set()
        await stop.wait()
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(20)
    server, loop, stop = end
    yield server.host, server.port
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library of one picture."""
    root, folder = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("made") / LIBRARY
    with Writer.open(folder, Space("colours", 3)) as writer:
        writer.add([NewPicture(root, "red.png", 10, 1, "0" * 64, width=8, height=6)], np.eye(3, dtype=np.float32)[:1])
    return folder


@pytest.fixture
def saved(folders, tmp_path, library, monkeypatch):
    """The folder with saved features, beside that library."""
    for name in ("input", "output"):
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    features = VisionFeatures(image_embeds=torch.rand(1, 8), encoder="CLIP ViT-H/14")
    save_features(folders / "image_prompts" / SAVED, features, image=torch.rand(1, 8, 8, 3))
    shutil.copytree(library, libraries_folder(tmp_path / "user") / LIBRARY)
    return folders / "image_prompts"


@pytest.mark.parametrize("row", BAD_REQUESTS, ids=lambda row: f"{row.route} {row.of}")
def test_a_bad_request_is_refused_in_words(address, saved, tmp_path, row):
    method, path, body, headers = row.sent()
    own = "http://{}:{}".format(*address)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection = HTTPConnection(*address, timeout=30)
    try:
        filled = {name: value.replace("{own}", own) for name, value in headers.items()}
        connection.request(method, urllib.parse.quote(path, "/?=&%:;"), data, filled)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    finally:
        connection.close()
    assert answer.status == row.status and re.search(row.message, told["error"]), told
    assert list(told) == ["error"] and len(told["error"]) <= LONGEST
    assert str(tmp_path) not in told["error"] and "Traceback" not in told["error"]
    assert [path.name for path in saved.iterdir()] == [SAVED]


def test_every_input_of_every_route_has_a_bad_request(monkeypatch):
    of_service = {path for _, path, _ in served()}
    rows = [(each.method, each.path) for each in registered(monkeypatch) if each.path not in of_service]
    wanted = inputs_of(rows, PARAMETERS, FIELDS.__getitem__)
    wanted |= {(path, of) for path in routes.CHANGES for of in SENDER}
    check_cover(BAD_REQUESTS, wanted, EXCEPTIONS)
