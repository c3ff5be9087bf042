"""A real server of aiohttp on loopback, with a service whose models are a few lines: words and mean colours."""

import asyncio
import base64
import hashlib
import http.client
import io
import json
import struct
import threading
import zlib
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import numpy as np
import openai
import pytest
import torch
from aiohttp import web
from PIL import Image

from image_prompt.clip_vision.pictures.images import to_rgb
from image_prompt.references.embedding import Logit
from image_prompt.references.library import NewPicture, Writer
from image_prompt.references.search.kept import KeptLibraries
from image_prompt.references.space import Space
from image_prompt.service.embedding import Busy, EmbeddingService, Prepared
from image_prompt.service.http import LibraryAnswers, standalone_handlers
from image_prompt.service.http.queries import embedded_by

RED, BLUE = (200, 30, 60), (20, 40, 220)
COLORS = {"red.png": (250, 20, 20), "pink.png": (250, 120, 130), "blue/deep.png": (10, 10, 240)}
OTHER = Space("another", 8)
WORDS = 20  # that the model reads of a text


class Colours:
    """Reads the mean colour of a picture, and of a text how often it names each of three colours."""

    space = Space("colours", 3, "0123")
    logit = Logit(10.0)

    def space_of(self, wish):
        if wish.dimensions is not None:
            raise ValueError("colours gives vectors of 3 numbers, and was not trained for fewer.")
        return self.space

    def prepare(self, given, wish):
        if given.image is None:
            words = given.text.split()
            vector = torch.tensor([1.0 + words[:WORDS].count(each) for each in ("red", "green", "blue")])
            return Prepared("any", vector, len(words), "The text is too long." if len(words) > WORDS else "")
        if given.text:
            raise ValueError("colours reads a text or a picture, not both.")
        return Prepared("any", to_rgb(given.image, (0, 0, 0))[0].float().mean(dim=(0, 2, 3)), 7)

    def compute(self, prepared):
        return torch.nn.functional.normalize(torch.stack([each.value for each in prepared]), dim=1)

    def info(self):
        return {"device": "cpu"}

    def close(self):
        pass


class Stuck(Colours):
    """Computes when it may."""

    def __init__(self):
        self.computing, self.may_go_on, self.prepared, self.batches = (
            threading.Event(),
            threading.Event(),
            Counter(),
            [],
        )

    def prepare(self, given, wish):
        self.prepared[given.text] += 1
        return super().prepare(given, wish)

    def compute(self, prepared):
        self.computing.set()
        assert self.may_go_on.wait(20)
        self.batches.append(len(prepared))
        return super().compute(prepared)


class Failing(Colours):
    def __init__(self, error):
        self.error = error

    def compute(self, prepared):
        raise self.error


class Given:
    """Models that are there already."""

    def __init__(self, **models):
        self.models = models

    def names(self):
        return list(self.models)

    def load(self, name):
        return self.models[name]

    def is_current(self, name, model):
        return True


@dataclass
class Running:
    address: str
    service: EmbeddingService

    @property
    def client(self):
        return openai.OpenAI(
            base_url=f"{self.address}/v1", api_key="none", max_retries=0, http_client=httpx.Client(trust_env=False)
        )

    @property
    def host(self):
        return self.address.removeprefix("http://")

    def ask(self, method="GET", path="/v1/embeddings", body=None, headers=(), **more):
        """(status, content, headers) of one request. more: of the JSON, if no body is given"""
        data = json.dumps(more if body is None else body).encode() if more or isinstance(body, dict) else body
        usual = {"Content-Type": "application/json"} if data is not None else {}
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, data, {**usual, **dict(headers)})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text else None, answer.headers
        finally:
            connection.close()


@contextmanager
def running(models, libraries=None, hosts=(), **limits):
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run(rows):
        application, end = web.Application(), asyncio.Event()
        application.add_routes([web.route(*row) for row in rows])
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        started.set_result((f"http://127.0.0.1:{runner.addresses[0][1]}", asyncio.get_running_loop(), end))
        await end.wait()
        await runner.cleanup()

    with EmbeddingService(models) as service:
        found = libraries(service) if libraries else None
        rows = standalone_handlers(service, hosts=lambda: hosts, libraries=found, **limits)
        thread = threading.Thread(target=lambda: asyncio.run(run(rows)), daemon=True)
        thread.start()
        address, loop, end = started.result(20)
        try:
            yield Running(address, service)
        finally:
            loop.call_soon_threadsafe(end.set)
            thread.join(20)


@pytest.fixture(scope="session")
def server():
    models = Given(
        colours=Colours(),
        failing=Failing(RuntimeError("broken in /home/me/x.py")),
        busy=Failing(Busy("A prompt runs.", 7)),
    )
    with running(models, hosts=("pictures.local",)) as found:
        yield found


class Damaged(Colours):
    def space_of(self, wish):
        raise ValueError("It is a web page.")


def write_library(folder, root, space, rows):
    with Writer.open(folder, space) as writer:
        for path, vector in rows:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6)).save(root / path)
            sha256 = hashlib.sha256(path.encode()).hexdigest()
            picture = NewPicture(root, path, 10, 1, sha256, width=8, height=6, text=f"about {path}")
            writer.add([picture], np.array([vector], np.float32))


@pytest.fixture(scope="session")
def libraries_server(tmp_path_factory):
    """Libraries of colours, of another space and a broken one, and models of which two cannot be used."""
    base = tmp_path_factory.mktemp("libraries")
    vectors = [(path, np.array(color) / np.linalg.norm(color)) for path, color in COLORS.items()]
    write_library(base / "libraries" / "colours of mine", base / "pictures", Colours.space, vectors)
    write_library(base / "libraries" / "other", base / "pictures", OTHER, [("red.png", np.eye(8)[0])])
    (base / "libraries" / "broken").mkdir()
    (base / "libraries" / "broken" / "library.json").write_text('{"format": 99}')
    kept = KeptLibraries(lambda: base / "libraries")
    models = Given(damaged=Damaged(), else_=Colours(), colours=Colours(), busy=Failing(Busy("A prompt runs.")))
    models.models["else_"].space = Space("something else", 3)

    def libraries(service):
        return LibraryAnswers(kept.names, lambda name: kept.look(name)[1], kept.open, embedded_by(service))

    with running(models, libraries) as found:
        found.base = base
        yield found


def data_url(color=RED, size=(8, 6), format="png", **options):
    written = io.BytesIO()
    Image.new("RGB", size, color).save(written, format, **options)
    return as_url(written.getvalue(), f"image/{format}")


def as_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def bomb(side: int) -> bytes:
    """A PNG of so many pixels along each side, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
