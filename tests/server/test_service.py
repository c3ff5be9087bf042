"""Embeddings over HTTP by ComfyUI: off by default, equal to what nodes give, and never beside a prompt."""

import base64
import copy
import http.client
import io
import json
import os
import subprocess
import threading
import time
import urllib.parse

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from image_prompt.demo.sheet import to_image
from image_prompt.demo.world import Scene, draw
from image_prompt.devtools.comfyui import check_success
from image_prompt.references.embedder import Embedder
from image_prompt.references.library import Writer, libraries_folder

from .conftest import decode
from .library_of_pictures import new_picture

CLIP = "demo_world.safetensors"
OTHER = "demo-encoder.safetensors"
ROOT = "/image-prompt"
EMBEDDINGS, SIMILARITY = f"{ROOT}/embeddings", f"{ROOT}/similarity"
SCENES = [
    Scene("circle", "red", "plain", "white", "middle", "large"),
    Scene("square", "blue", "stripes", "black", "left", "small"),
    Scene("star", "green", "dots", "grey", "right", "large"),
]
TEXTS = [scene.caption() for scene in SCENES]
ON = {"serve": True, "hosts": ["my.machine"]}


class Service:
    """Asks the service, and sees to it that no answer shows where ComfyUI is."""

    def __init__(self, server) -> None:
        self.server = server
        self.switch = server.base / "user" / "__image_prompt" / "service.json"
        self.secrets = {str(server.base), os.path.realpath(server.base), str(server.comfyui)}

    def say(self, content: object) -> None:
        """Write the file of the switch; None: delete it."""
        self.switch.parent.mkdir(exist_ok=True)
        self.switch.unlink(missing_ok=True)
        if content is not None:
            self.switch.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def ask(self, path: str, method: str = "GET", body: object = None, **headers: str) -> tuple[int, dict, str]:
        """(status, JSON, seconds of Retry-After) of a request."""
        connection = http.client.HTTPConnection(self.server.url.removeprefix("http://"), timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        usual = {"Content-Type": "application/json"} if data is not None else {}
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, usual | sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert not [secret for secret in self.secrets if secret in text]
        is_json = text and answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json else {}, answer.headers.get("Retry-After", "")

    def embed(self, given: object, model: str = CLIP, **more: object) -> tuple[int, dict, str]:
        return self.ask(EMBEDDINGS, "POST", {"model": model, "input": given, **more})

    def batches(self) -> int:
        return sum(self.ask(EMBEDDINGS)[1]["batch_sizes"].values())


@pytest.fixture(scope="module")
def closed(server):
    """The service of a ComfyUI of which nobody has asked for it."""
    service = Service(server)
    yield service
    service.say(None)


@pytest.fixture
def service(closed):
    closed.say(ON)
    yield closed
    closed.say(None)


@pytest.fixture(scope="module")
def pictures(server) -> list[Image.Image]:
    images = [to_image(picture) for picture in draw([(scene,) for scene in SCENES])]
    for number, image in enumerate(images):
        image.save(server.base / "input" / f"served {number}.png")
    return images


@pytest.fixture(scope="module")
def urls(pictures) -> list[str]:
    return [data_url(picture) for picture in pictures]


def data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


@pytest.fixture(scope="module")
def of_nodes(server, pictures) -> np.ndarray:
    """The vectors of the texts, and then of the pictures, by nodes and through the queue."""
    workflow = {
        "encoder": node("ImagePromptLoadEncoder", encoder_name=CLIP),
        "texts": node(
            "ImagePromptEmbedText", text="\n".join(TEXTS), clip_vision=["encoder", 0], texts="one in each line"
        ),
        **{f"image {number}": node("LoadImage", image=f"served {number}.png") for number in range(3)},
        "two": node("ImageBatch", image1=["image 0", 0], image2=["image 1", 0]),
        "three": node("ImageBatch", image1=["two", 0], image2=["image 2", 0]),
        "features": node("ImagePromptEncode", clip_vision=["encoder", 0], image=["three", 0]),
        "pictures": node("ImagePromptEmbedding", features=["features", 0]),
        "of texts": node("Numbers", embedding=["texts", 0]),
        "of pictures": node("Numbers", embedding=["pictures", 0]),
    }
    entry = server.wait(server.queue(workflow))
    check_success(entry)
    return np.concatenate([json.loads(entry["outputs"][name]["text"][0]) for name in ("of texts", "of pictures")])


# ----------------------------------------------------------------------------------------------------------- the switch


def test_it_is_off_and_says_what_to_write(closed, urls):
    asked = [
        closed.embed(TEXTS),
        closed.ask(EMBEDDINGS),
        closed.ask(SIMILARITY, "POST", {"model": CLIP, "a": TEXTS, "b": urls}),
        closed.ask(f"{ROOT}/libraries/any/search"),
    ]
    for status, answer, _ in asked:
        assert (status, answer["error"]["code"]) == (403, "off")
        assert 'write {"serve": true} into service.json in the folder __image_prompt' in answer["error"]["message"]


def test_a_damaged_file_closes_it_at_once(service):
    assert service.embed("a")[0] == 200
    service.say(b'{"serve": true,}')
    status, answer, _ = service.embed("a")
    assert status == 403 and "wrong in service.json" in answer["error"]["message"]


WAYS_TO_THE_FILE = (
    f"/userdata/{urllib.parse.quote('../__image_prompt/service.json', safe='')}",
    f"/userdata/{urllib.parse.quote('%2e%2e/__image_prompt/service.json', safe='')}",
    f"/userdata/{urllib.parse.quote('__image_prompt/service.json', safe='')}",
    f"/userdata/service.json/move/{urllib.parse.quote('../__image_prompt/service.json', safe='')}?overwrite=true",
    f"/settings/{urllib.parse.quote('../__image_prompt/service.json', safe='')}",
    "/settings/serve",
    "/settings",
)


@pytest.mark.parametrize("user", ["", "__image_prompt", "../__image_prompt"])
def test_no_route_of_users_opens_it(closed, user):
    """Files of users are written to a folder of theirs, which is that of another user for nobody."""
    for path in ("/userdata/service.json", *WAYS_TO_THE_FILE):
        for method in ("POST", "PUT", "DELETE"):
            closed.ask(path, method, ON if method != "DELETE" else None, **({"comfy-user": user} if user else {}))
    assert not closed.switch.exists() and closed.embed("a")[0] == 403
    closed.ask(f"/userdata/{urllib.parse.quote('service.json')}", "DELETE")


def test_no_route_of_users_reads_or_deletes_the_file(service):
    for path in WAYS_TO_THE_FILE[:3]:
        assert service.ask(path)[0] in (400, 403, 404) and service.ask(path, "DELETE")[0] in (400, 403, 404)
    assert json.loads(service.switch.read_bytes()) == ON


# ---------------------------------------------------------------------------------------------------------- embeddings


def test_the_openai_client_gets_what_nodes_give(service, urls, of_nodes):
    client = openai.OpenAI(
        base_url=f"{service.server.url}{ROOT}",
        api_key="none",
        max_retries=0,
        http_client=httpx.Client(trust_env=False),
    )
    found = client.embeddings.create(model=CLIP, input=[*TEXTS, *urls])  # in base64, as the client asks
    np.testing.assert_allclose([each.embedding for each in found.data], of_nodes, rtol=0, atol=1e-5)
    assert [each.index for each in found.data] == [*range(6)] and found.model == CLIP
    numbers = client.embeddings.create(model=CLIP, input=TEXTS[0], encoding_format="float")
    np.testing.assert_allclose(numbers.data[0].embedding, of_nodes[0], rtol=0, atol=1e-5)
    with pytest.raises(openai.NotFoundError, match="demo_world.safetensors"):
        client.embeddings.create(model="clip-vit-b-32", input="a")


def test_usage_counts_what_is_read(service, urls):
    _, text, _ = service.embed("a red circle")
    _, picture, _ = service.embed(urls[0])
    assert text["usage"] == {"prompt_tokens": 5, "total_tokens": 5}  # with start and end
    _, both, _ = service.embed(["a red circle", urls[0]])
    assert both["usage"]["total_tokens"] == 5 + picture["usage"]["total_tokens"]


def test_curl_gets_what_nodes_give(service, urls, of_nodes, tmp_path):
    (tmp_path / "asked.json").write_text(json.dumps({"model": CLIP, "input": [TEXTS[1], urls[1]]}))
    command = ["curl", "--silent", "--noproxy", "*", "--fail", "--json", f"@{tmp_path / 'asked.json'}"]
    for prefix in ("", "/api"):
        done = subprocess.run(
            [*command, f"{service.server.url}{prefix}{EMBEDDINGS}"], capture_output=True, text=True, check=True
        )
        found = [each["embedding"] for each in json.loads(done.stdout)["data"]]
        np.testing.assert_allclose(found, of_nodes[[1, 4]], rtol=0, atol=1e-5)


def test_similarity_is_that_of_the_vectors(service, urls, of_nodes):
    status, answer, _ = service.ask(SIMILARITY, "POST", {"model": CLIP, "a": TEXTS, "b": urls})
    expected = of_nodes[:3].astype(np.float64) @ of_nodes[3:].astype(np.float64).T
    assert status == 200
    np.testing.assert_allclose(answer["similarity"], expected, rtol=0, atol=1e-5)
    assert np.argmax(answer["probabilities"], axis=0).tolist() == [0, 1, 2]


def test_what_is_loaded_is_told(service):
    service.embed("a")
    status, answer, _ = service.ask(EMBEDDINGS)
    models = {each["name"]: each for each in answer["models"]}
    assert status == 200 and models.keys() >= {CLIP, OTHER}
    assert models[CLIP]["loaded"] and models[CLIP]["device"] == "cpu" and models[CLIP]["text"] == {"context": 77}
    assert answer["limits"]["inputs"] > 0 and answer["activity"]["compute"]["count"] > 0
    assert answer["batch_size"] >= max(int(size) for size in answer["batch_sizes"])


@pytest.mark.parametrize(
    ("given", "more", "status", "words"),
    [
        ("a", {"model": "other.safetensors"}, 404, "demo-encoder.safetensors"),
        ("a", {"model": "../clip_vision/demo_world.safetensors"}, 404, CLIP),
        ("a", {"dimensions": 8}, 400, "numbers"),
        ("", {}, 400, "empty"),
        (["a", " "], {}, 400, "Input 2"),
        ("data:image/png;base64,aGVsbG8=", {}, 400, "picture"),
        ([{"text": "a", "image": "/etc/passwd"}], {}, 400, "no path is read"),
        ([{"image": "http://127.0.0.1/a.png"}], {}, 400, "no URL is fetched"),
        ([1, 2], {}, 400, "check_embedding_ctx_length"),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_words(service, given, more, status, words):
    found, answer, _ = service.embed(given, **{"model": CLIP, **more})
    assert found == status and words in answer["error"]["message"]


def test_a_model_that_cannot_be_used_says_why(service):
    name = "a page.safetensors"
    path = service.server.base / "models" / "clip_vision" / name
    path.write_text("<html>Sign in</html>")
    try:
        status, answer, _ = service.embed("a", model=name)
    finally:
        path.unlink()
    assert status == 400 and name in answer["error"]["message"] and "web page" in answer["error"]["message"]


# ---------------------------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"Host": "my.machine"}),
        (200, {"Host": "my.machine:8188", "Origin": "https://my.machine:8188"}),
        (200, {"Sec_Fetch_Site": "same-origin"}),
        (403, {"Host": "evil.example"}),  # its DNS leads here
        (403, {"Host": "evil.example", "Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}),
        (403, {"Host": "my.machine", "Origin": "http://evil.example"}),
        (403, {"Host": "my.machine", "Origin": "null"}),
        (403, {"Host": "my.machine", "Sec_Fetch_Site": "same-site"}),
        (415, {"Content_Type": "text/plain"}),
        (415, {"Content_Type": "application/x-www-form-urlencoded"}),
        (415, {"Content_Type": "multipart/form-data; boundary=a"}),
    ],
)
def test_programs_and_own_pages_are_answered_and_no_other(service, status, headers):
    found, answer, _ = service.ask(EMBEDDINGS, "POST", {"model": CLIP, "input": "a"}, **headers)
    assert found == status and ("error" in answer) == (status != 200)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}])
def test_comfyui_refuses_other_sites_itself(service, headers):
    assert service.ask(EMBEDDINGS, "POST", {"model": CLIP, "input": "a"}, **headers)[0] == 403


@pytest.mark.parametrize(("path", "method"), [(EMBEDDINGS, "PUT"), (SIMILARITY, "GET"), (EMBEDDINGS, "DELETE")])
def test_other_methods_are_refused(service, path, method):
    status, answer, _ = service.ask(path, method)
    assert status == 405 and "alone" in answer["error"]["message"]


# ---------------------------------------------------------------------------------------------------- beside a prompt


@pytest.fixture
def held(server, sd15, tmp_path):
    """Queue a workflow that runs until a file is there, which `held.go()` makes."""

    class Prompt:
        def __init__(self, steps: int = 3, seed: int = 1801):
            self.file, self.workflow = tmp_path / f"go {time.monotonic_ns()}", copy.deepcopy(sd15)
            (sampler,) = (each for each in self.workflow.values() if each["class_type"] == "KSampler")
            sampler["inputs"] |= {"steps": steps, "seed": seed}
            self.workflow["held"] = node("Held", model=sampler["inputs"]["model"], file=str(self.file))
            sampler["inputs"]["model"] = ["held", 0]

        def queue(self) -> "Prompt":
            self.id = server.queue(self.workflow)
            while not self.is_running():
                time.sleep(0.02)
            return self

        def is_running(self) -> bool:
            return self.id in [each[1] for each in server.get("/queue")["queue_running"]]

        def go(self) -> None:
            self.file.touch()

        def picture(self) -> np.ndarray:
            self.go()
            entry = server.wait(self.id)
            check_success(entry)
            (png,) = server.pictures(entry)
            return decode(png)

    made = []

    def make(**options) -> Prompt:
        made.append(Prompt(**options))
        return made[-1]

    yield make
    for prompt in made:
        prompt.go()


def test_it_is_busy_while_a_prompt_runs_and_answers_again_afterwards(service, held, urls, library):
    expected = service.embed([TEXTS[0], urls[0]])[1]["data"]
    prompt = held().queue()
    for asked in (
        lambda: service.embed([TEXTS[0], urls[0]]),
        lambda: service.embed("a", model=OTHER),
        lambda: service.ask(SIMILARITY, "POST", {"model": CLIP, "a": TEXTS, "b": urls}),
        lambda: service.ask(f"{ROOT}/libraries/{urllib.parse.quote(NAME)}/search?text=a&model={CLIP}"),
    ):
        status, answer, again = asked()
        assert (status, again, answer["error"]["type"]) == (503, "5", "server_error")
        assert "ComfyUI runs a prompt" in answer["error"]["message"]
    assert prompt.is_running() and service.ask(EMBEDDINGS)[0] == 200
    prompt.picture()
    status, answer, _ = service.embed([TEXTS[0], urls[0]])
    assert status == 200 and answer["data"] == expected


def test_requests_change_nothing_in_a_prompt_that_samples(service, held, urls):
    """Its picture is the same to the bit, and no batch is computed while it runs."""
    expected = held(steps=12).queue().picture()
    prompt = held(steps=12).queue()
    seen, batches, stop = [], set(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            before = prompt.is_running()
            status = service.embed([*TEXTS, *urls])[0]
            count = service.batches()
            if before and prompt.is_running():
                seen.append(status)
                batches.add(count)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    found = prompt.picture()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) == {503} and len(seen) > 10 and len(batches) == 1
    assert np.array_equal(found, expected)


def test_post_free_frees_it(service):
    assert service.embed(TEXTS[0])[0] == 200

    def in_memory() -> bool:
        time.sleep(1.01)  # the same status is told for a second
        names = [each["name"] for each in service.server.get(f"{ROOT}/status")["loaded"]]
        return any("demo world" in name.lower() or name.endswith(", text") for name in names)

    assert in_memory()
    service.ask("/free", "POST", {"unload_models": True, "free_memory": True})
    end = time.monotonic() + 30
    while in_memory():
        assert time.monotonic() < end
    models = {each["name"]: each for each in service.ask(EMBEDDINGS)[1]["models"]}
    assert not models[CLIP]["loaded"]
    assert service.embed(TEXTS[0])[0] == 200


# ------------------------------------------------------------------------------------------------------------ libraries

NAME = "served ones"


@pytest.fixture(scope="module")
def library(server, pictures) -> np.ndarray:
    """A library of the pictures, by the file alone; their cosines with the first text."""
    with Embedder(server.base / "models" / "clip_vision" / CLIP, "cpu") as embedder:
        vectors, space = embedder.embed_images(pictures).vectors, embedder.space
        text = embedder.embed_texts(TEXTS[0]).vectors
    root = server.base.resolve() / "input"
    with Writer.open(libraries_folder(server.base / "user") / NAME, space) as writer:
        rows = [new_picture(root, f"served {number}.png", number) for number in range(len(pictures))]
        writer.add(rows, vectors.numpy())
    return (vectors.double() @ text.double().T)[:, 0].numpy()


def search(service, **asked: object) -> tuple[int, dict]:
    path = f"{ROOT}/libraries/{urllib.parse.quote(NAME)}/search?{urllib.parse.urlencode(asked)}"
    return service.ask(path)[:2]


@pytest.mark.parametrize("model", [{"model": CLIP}, {}])
def test_a_library_is_searched_by_text(service, library, model):
    status, answer = search(service, text=TEXTS[0], **model)
    order = np.argsort(-library)
    assert status == 200, answer
    assert [each["path"] for each in answer["found"]] == [f"served {number}.png" for number in order]
    np.testing.assert_allclose([each["score"] for each in answer["found"]], library[order], rtol=0, atol=1e-3)


def test_an_encoder_of_another_space_is_refused_and_what_fits_is_told(service, library):
    status, answer = search(service, text="a", model=OTHER)
    assert status == 400 and "served ones" in answer["error"]["message"]
    assert "choose the encoder that it was made with" in answer["error"]["message"]
    status, answer = search(service, text="a", model="none.safetensors")
    assert status == 404 and CLIP in answer["error"]["message"]


def test_other_questions_need_no_encoder(service, library):
    status, answer = search(service)
    assert status == 200 and len(answer["found"]) == 3
    assert search(service, id=answer["found"][0]["id"], k=1)[1]["found"][0]["path"] == answer["found"][0]["path"]
    assert service.ask(f"{ROOT}/libraries/none/search")[0] == 404
