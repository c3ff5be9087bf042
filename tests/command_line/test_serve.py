"""`serve` as a process of its own, with the demo world's CLIP, asked by OpenAI's client and by curl."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from PIL import Image
from tiny_qwen3_vl import shared

from image_prompt.command_line import main
from image_prompt.demo.full_clip import FILE, write_full_clip
from image_prompt.demo.sheet import to_image
from image_prompt.demo.world import Scene, draw
from image_prompt.devtools.stages import ROOT
from image_prompt.references.embedder import Embedder
from image_prompt.references.inputs import Input
from image_prompt.references.similarity import cosines
from image_prompt.references.vision_language import QUERY_INSTRUCTION, VisionLanguageEncoder, load_vision_language

TEXTS = ["a large red ring in the middle", "a large green ring in the middle"]
NAME = "demo clip.safetensors"
LINE = re.compile(r"^(.+) at (http://\S+)/v1 for clients of OpenAI\. Ctrl-C ends it\.(.*)$")


@dataclass
class Served:
    process: subprocess.Popen
    base: Path
    names: list[str]
    address: str
    warned: str

    @property
    def client(self):
        client = httpx.Client(trust_env=False)
        return openai.OpenAI(base_url=f"{self.address}/v1", api_key="x", max_retries=0, http_client=client)

    def curl(self, path, *options, **fields):
        """(status, JSON) that curl gets."""
        given = ["-H", "Content-Type: application/json", "--data-binary", json.dumps(fields)] if fields else []
        done = subprocess.run(
            [CURL, "-sS", "--noproxy", "*", "-w", "\n%{http_code}", *given, *options, self.address + path],
            capture_output=True,
            text=True,
            check=True,
        )
        body, status = done.stdout.rsplit("\n", 1)
        assert str(self.base) not in body and str(ROOT) not in body
        return int(status), json.loads(body)


CURL = shutil.which("curl") or pytest.fail("These tests need curl.")


def start(*words):
    """A process of `serve`, and the line that says where it listens."""
    process = subprocess.Popen(
        [sys.executable, ROOT, "serve", "--port", "0", "--device", "cpu", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    line = process.stderr.readline()
    found = LINE.match(line)
    if not found:
        process.kill()
        pytest.fail(line + process.communicate()[1])
    return process, found


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory):
    """The folder of a ComfyUI, as far as files are looked for, with the demo world's full CLIP."""
    root = tmp_path_factory.mktemp("served") / "ComfyUI"
    (root / "user").mkdir(parents=True)
    for file in ("main.py", "folder_paths.py"):
        (root / file).touch()
    write_full_clip(root / "models")
    (root / "models" / FILE).rename(root / "models" / "clip_vision" / NAME)
    return root


@pytest.fixture(scope="module")
def pictures(comfyui):
    """Two pictures of the demo world, in a library and as data URLs."""
    folder = comfyui / "pictures"
    folder.mkdir()
    scenes = [Scene("ring", colour, "plain", "white", "middle", "large") for colour in ("red", "green")]
    images = [to_image(drawn) for drawn in draw([(scene,) for scene in scenes])]
    for scene, image in zip(scenes, images, strict=True):
        image.save(folder / f"{scene.colour}.png")
    words = ["embed", folder, "--library", "rings", "--comfyui", comfyui, "--encoder", NAME]
    assert main(list(map(str, words))) == 0
    return images


@pytest.fixture(scope="module")
def qwen3_vl(tmp_path_factory):
    return shared(tmp_path_factory)


@pytest.fixture(scope="module")
def encoder(qwen3_vl):
    with load_vision_language(qwen3_vl, "cpu", "fp32") as encoder:
        yield encoder


@pytest.fixture(scope="module")
def served(comfyui, pictures, qwen3_vl):
    process, found = start("--encoder", NAME, "--encoder", qwen3_vl, "--comfyui", comfyui, "--dtype", "fp32")
    names, address, warned = found.groups()
    yield Served(process, comfyui.parent, names.split(", "), address, warned)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def witness(comfyui, pictures):
    """(the vectors of the texts, those of the pictures) by the encoder itself"""
    with Embedder(comfyui / "models" / "clip_vision" / NAME, "cpu", "fp32") as embedder:
        return embedder.embed_texts(TEXTS), embedder.embed_images(pictures)


def as_url(image: Image.Image) -> str:
    written = io.BytesIO()
    image.save(written, "png")
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}])
def test_the_openai_client_gets_the_vectors_of_the_encoder(served, pictures, witness, options):
    given = [*TEXTS, *map(as_url, pictures)]
    answer = served.client.embeddings.create(model=NAME, input=given, **options)
    expected = np.concatenate([each.vectors.numpy() for each in witness])
    np.testing.assert_allclose([each.embedding for each in answer.data], expected, atol=1e-5)
    assert answer.usage.total_tokens > 0 and answer.model == NAME


def test_curl_gets_the_vectors_of_the_encoder(served, pictures, witness):
    for path in ("/v1/embeddings", "/image-prompt/embeddings"):
        status, answer = served.curl(path, model=NAME, input=as_url(pictures[0]))
        assert status == 200
        np.testing.assert_allclose(answer["data"][0]["embedding"], witness[1].vectors[0], atol=1e-5)
    status, answer = served.curl("/image-prompt/similarity", model=NAME, a=TEXTS, b=[*map(as_url, pictures)])
    np.testing.assert_allclose(answer["similarity"], cosines(*witness), atol=1e-5)
    assert np.argmax(answer["probabilities"], axis=0).tolist() == [0, 1]


def test_curl_searches_the_libraries_of_the_comfyui(served, witness):
    status, answer = served.curl("/image-prompt/libraries")
    assert status == 200 and [(each["name"], each["count"]) for each in answer["libraries"]] == [("rings", 2)]
    query = ["-G", "--data-urlencode", f"text={TEXTS[1]}"]
    status, answer = served.curl("/image-prompt/libraries/rings/search", *query)
    assert status == 200 and [each["path"] for each in answer["found"]] == ["green.png", "red.png"]
    expected = sorted(cosines(*witness)[1].tolist(), reverse=True)
    np.testing.assert_allclose([each["score"] for each in answer["found"]], expected, atol=1e-3)


def test_a_vision_language_model_is_served(served, pictures, encoder):
    url, given = as_url(pictures[0]), [Input("a ring"), Input(image=pictures[0]), Input("its colour", pictures[0])]
    wish = {"instruction": "Find it.", "pooling": "mean", "dimensions": 64}
    asked = {"model": served.names[1], "input": ["a ring", url, {"text": "its colour", "image": url}]}
    status, answer = served.curl("/v1/embeddings", **asked, **wish)
    assert status == 200, answer
    expected = VisionLanguageEncoder(encoder.backend, **wish).embed(given).vectors
    np.testing.assert_allclose([each["embedding"] for each in answer["data"]], expected, atol=1e-5)
    status, answer = served.curl("/v1/embeddings", **asked, dimensions=8)
    assert status == 400 and "gives 64 to 80 numbers" in answer["error"]["message"]


def test_a_library_of_a_vision_language_model_is_searched_as_by_the_command(
    served, pictures, comfyui, encoder, qwen3_vl, capsys
):
    words = ["--comfyui", str(comfyui), "--encoder", str(qwen3_vl)]
    assert main(["embed", str(comfyui / "pictures"), "--library", "spoken", *words]) == 0
    capsys.readouterr()
    assert main(["search", "spoken", "--text", "a red ring", "--json", *words]) == 0
    by_command = {each["path"]: each["score"] for each in json.loads(capsys.readouterr().out)["hits"]}
    status, answer = served.curl("/image-prompt/libraries/spoken/search", "-G", "-d", "text=a+red+ring")
    by_http = {each["path"]: each["score"] for each in answer["found"]}
    query = encoder.embed([Input("a red ring")], instruction=QUERY_INSTRUCTION)
    expected = cosines(query, encoder.embed_images(pictures))[0].tolist()
    assert status == 200 and by_http == pytest.approx(by_command, abs=2e-3)
    assert by_http == pytest.approx(dict(zip(("red.png", "green.png"), expected, strict=True)), abs=2e-3)


def test_it_tells_of_its_encoders(served, qwen3_vl):
    assert served.names == [NAME, qwen3_vl.name] and served.warned == ""
    assert [each.id for each in served.client.models.list()] == served.names
    status, answer = served.curl("/image-prompt/embeddings")
    assert status == 200 and answer["models"][0]["device"] == "cpu"


@pytest.mark.parametrize(
    ("options", "fields", "status", "words"),
    [
        ((), {"model": "none", "input": "x"}, 404, f"There are: {NAME}"),
        ((), {"model": NAME, "input": "x", "dimensions": 8}, 400, "was not trained for shorter ones"),
        ((), {"model": NAME, "input": "x", "instruction": "Look."}, 400, "takes no instruction"),
        ((), {"model": NAME, "input": {"text": "x", "image": "/etc/passwd"}}, 400, "no path is read"),
        ((), {"model": NAME, "input": "data:image/png;base64,AAAA"}, 400, "Input 1: it holds no picture"),
        (("-H", "Host: evil.example"), {"model": NAME, "input": "x"}, 403, "--allow-host NAME"),
        (("-H", "Origin: http://evil.example"), {"model": NAME, "input": "x"}, 403, "page of another site"),
        (("-F", "input=x"), {}, 415, "Send JSON"),
        (("-d", "input=x"), {}, 415, "Send JSON"),
    ],
)
def test_what_is_not_done_is_said(served, options, fields, status, words):
    found, answer = served.curl("/v1/embeddings", *options, **fields)
    assert found == status and words in answer["error"]["message"]


def test_the_client_raises_what_the_server_says(served):
    with pytest.raises(openai.NotFoundError, match="There are: demo clip"):
        served.client.embeddings.create(model="none", input="x")
    with pytest.raises(openai.BadRequestError, match="Input 2: The text is empty"):
        served.client.embeddings.create(model=NAME, input=["x", " "])


def test_a_text_that_is_too_long_is_cut_with_a_warning(served):
    status, answer = served.curl("/v1/embeddings", model=NAME, input=["red", "red ring " * 60])
    assert status == 200 and answer["warnings"] == ["Input 2: The text is longer than 77 tokens; the rest is not seen."]


def test_ctrl_c_ends_it_and_listening_to_others_is_warned_of(comfyui):
    process, found = start("--encoder", comfyui / "models" / "clip_vision" / NAME, "--host", "0.0.0.0")
    assert found[3] == " There is no authentication: whoever reaches this computer can use it."
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("Ended.\n", "")
    assert process.returncode == 0


def test_what_a_client_waits_for_is_answered_before_it_ends(comfyui):
    """It is told to end while it loads the encoder for a request."""
    process, found = start("--encoder", comfyui / "models" / "clip_vision" / NAME)
    body = json.dumps({"model": NAME, "input": ["a ring"] * 64}).encode()
    with socket.create_connection(("127.0.0.1", int(found[2].rsplit(":", 1)[1])), timeout=60) as connection:
        head = "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    assert process.communicate(timeout=60) == ("Ended.\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encoder", "{file}", "--port", "{port}"], "is in use, perhaps by another `serve`: give another --port"),
        (["--encoder", "{file}", "--encoder", "{copy}"], f"Two of the encoders are called {NAME}"),
        (["--encoder", "{adapter}"], "ip-adapter_demo_world.safetensors is no encoder that can be served"),
        (["--encoder", "{text}"], "x.safetensors is no encoder that can be served"),
    ],
)
def test_what_cannot_be_served_is_said(comfyui, tmp_path, capsys, words, said):
    file = comfyui / "models" / "clip_vision" / NAME
    shutil.copy(file, tmp_path / NAME)
    (tmp_path / "x.safetensors").write_text("no tensors")
    given = {"file": file, "copy": tmp_path / NAME, "text": tmp_path / "x.safetensors"}
    given["adapter"] = ROOT / "demo" / "models" / "ipadapter" / "ip-adapter_demo_world.safetensors"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given["port"] = taken.getsockname()[1]
        assert main(["serve", *(word.format(**given) for word in words)]) == 1
    assert said in capsys.readouterr().err


def test_without_aiohttp_it_says_what_to_install(comfyui, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert main(["serve", "--encoder", str(comfyui / "models" / "clip_vision" / NAME)]) == 1
    assert "python -m pip install aiohttp" in " ".join(capsys.readouterr().err.split())
