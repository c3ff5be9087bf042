"""What a service of embeddings, and HTTP, add to the time of an encoder, and how well it joins many clients."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import statistics
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from image_prompt.references.embedder import Embedder
from image_prompt.references.inputs import Input
from image_prompt.service.embedding import EmbeddingService, FileModels
from image_prompt.service.http import ROOT, handlers

from . import files, host

NAME = "ViT-B/32"
COUNTS = (1, 8, 64)  # of inputs in a request
CLIENTS = 16
ADDED, JOINED = 1.05, 0.9  # at most, and at least
Case = Callable[[], object]


def measure(folder: Path, turns: int) -> None:
    """Print both tables: what is added, and what many clients reach of what one does."""
    encoder = folder / "served.safetensors"
    files.write(encoder, files.vision_shapes(NAME))
    pictures = draw(max(COUNTS))
    models = FileModels({NAME: encoder}, "cpu")
    with Embedder(encoder, "cpu") as embedder, EmbeddingService(models) as service, serving(service) as port:
        added(embedder, service, port, pictures, turns)
        joined(service, port, pictures, turns)


def draw(count: int) -> list[bytes]:
    """JPEG files of 512x512."""
    rng, found = np.random.default_rng(0), list[bytes]()
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((512, 512))
        grainy = np.asarray(coarse, np.int16) + rng.integers(-8, 8, (512, 512, 3))
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(written := io.BytesIO(), "jpeg", quality=90)
        found.append(written.getvalue())
    return found


def added(embedder: Embedder, service: EmbeddingService, port: int, pictures: list[bytes], turns: int) -> None:
    print(f"\n| {NAME}, pictures at once | encoder | service | HTTP | at most | the same, processor time |")
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    for count in COUNTS:
        some = pictures[:count]
        body = request(some)
        cases: dict[str, Case] = {
            "encoder": lambda some=some: embedder.embed_images(list(map(opened, some))),
            "service": lambda some=some: embed(service, some),
            "http": lambda body=body: post(port, body),
        }
        clock, cpu = taking_turns(cases, turns * (4 if count < max(COUNTS) else 1))
        ways = ("service", "http")
        ratios = " | ".join(f"{clock[way] / clock['encoder']:.3f}" for way in ways)
        of_cpu = " and ".join(f"{cpu[way] / cpu['encoder']:.3f}" for way in ways)
        print(f"| {count} | {1000 * clock['encoder']:.1f} ms | {ratios} | {ADDED} | {of_cpu} |", flush=True)


def joined(service: EmbeddingService, port: int, pictures: list[bytes], turns: int) -> None:
    """The same pictures by one client in one request, and by many that ask for one after another."""
    bodies = [request([picture]) for picture in pictures]
    whole = request(pictures)
    with ThreadPoolExecutor(CLIENTS) as clients:
        ways: dict[str, tuple[Case, Case]] = {
            "service": (
                lambda: embed(service, pictures),
                lambda: list(clients.map(lambda picture: embed(service, [picture]), pictures)),
            ),
            "HTTP": (
                lambda: post(port, whole),
                lambda: list(clients.map(lambda body: post(port, body), bodies)),
            ),
        }
        print(f"\n| {len(pictures)} pictures, by the | one client | {CLIENTS} clients | of it | at least | processor |")
        print("|---|---:|---:|---:|---:|---:|", flush=True)
        for way, (alone, together) in ways.items():
            clock, cpu = taking_turns({"alone": alone, "together": together}, turns)
            rates = [len(pictures) / clock[name] for name in ("alone", "together")]
            print(
                f"| {way} | {rates[0]:.1f}/s | {rates[1]:.1f}/s | {rates[1] / rates[0]:.3f} | {JOINED} | "
                f"{cpu['alone'] / cpu['together']:.3f} |",
                flush=True,
            )
    print(f"\nBatches of the service, by their size: {service.info()['batch_sizes']}", flush=True)


def taking_turns(cases: dict[str, Case], turns: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds on the clock, and of the processor, after one turn to warm up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(1 + turns):
        for name, case in cases.items():
            begin = time.process_time()
            seconds = host.seconds(case)
            if turn:
                times[name].append((seconds, time.process_time() - begin))
    clock, cpu = (
        {name: statistics.median(each[number] for each in found) for name, found in times.items()} for number in (0, 1)
    )
    return clock, cpu


def opened(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


def embed(service: EmbeddingService, pictures: list[bytes]) -> object:
    return service.embed(NAME, [Input(image=opened(picture)) for picture in pictures])


def request(pictures: list[bytes]) -> bytes:
    """As the client of OpenAI sends it by default."""
    urls = [f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" for picture in pictures]
    return json.dumps({"model": NAME, "input": urls, "encoding_format": "base64"}).encode()


def post(port: int, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("POST", f"{ROOT}/embeddings", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
    finally:
        connection.close()


@contextmanager
def serving(service: EmbeddingService) -> Generator[int]:
    """The port of a server in a thread beside."""
    from aiohttp import web

    application = web.Application()
    application.add_routes([web.route(*row) for row in handlers(service, hosts=lambda: (), libraries=None)])
    runner, loop = web.AppRunner(application, access_log=None), asyncio.new_event_loop()

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner.addresses[0][1]

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
