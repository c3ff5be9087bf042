"""What the routes answer, and what they refuse: all but one only read."""

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pytest
import torch

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.nodes.routes import ANSWERS, CHANGES, FRESH, LOOKUPS, PICTURES, QUESTIONS

ROUTES = tuple(ANSWERS)
SERVED = [f"/image-prompt/{name}" for name in ("embeddings", "similarity", "libraries/{name}/search")]
ALL = (*ROUTES, *LOOKUPS, *PICTURES, *QUESTIONS, *CHANGES, *SERVED)


def ask(server, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(server.url + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def bad_file(server):
    path = server.base / "models" / "ipadapter" / "a page of routes.safetensors"
    path.write_text("<html>Sign in</html>")
    yield path.name
    path.unlink()


def test_models_are_listed_with_reasons(server, bad_file):
    found = server.get("/image-prompt/models")
    others = {(file["type"], file["name"]): file for file in found["others"]}
    assert others["ipadapter", "demo-ip-adapter-plus_sd15.safetensors"]["identity"]["family"] == "plus"
    assert others["clip_vision", "demo-encoder.safetensors"]["identity"]["kind"] == "encoder"
    assert "web page" in others["ipadapter", bad_file]["problem"]
    (row,) = [row for row in found["rows"] if row["entry"]["id"] == "ip-adapter-plus_sd15"]
    assert (row["status"], row["entry"]["licence"]) == ("missing", "Apache-2.0")


def test_the_blocks_of_models_are_told_with_what_presets_give_them(server):
    models = {model["title"]: model for model in server.get("/image-prompt/blocks")["models"]}
    style = {(block["kind"], block["index"]) for block in models["SD1.5"]["blocks"] if block["set"] == "style"}
    assert style == {("input", 1), ("input", 2), ("output", 9), ("output", 10), ("output", 11)}
    assert [block["layers"] for block in models["SDXL"]["blocks"]] == [2, 2, 10, 10, 10, 10, 10, 10, 2, 2, 2]
    assert models["SDXL"]["presets"]["precise style"] == {"weights": [0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0], "away": [3]}
    assert list(models["Flux (XLabs)"]["presets"]) == [
        *("all", "first half", "second half", "middle half", "falling", "rising", "there and back")
    ]


def status_of_now(server) -> dict:
    time.sleep(FRESH)  # for this long everybody gets the same answer
    return server.get("/image-prompt/status")


def test_status_counts_what_was_done(server, run, sd15):
    before = status_of_now(server)["activity"]
    (apply,) = (node for node in sd15.values() if node["class_type"] == "ImagePromptApply")
    apply["inputs"]["weight"] = 0.77  # not what another test has run
    run(sd15)
    found = status_of_now(server)
    assert found["activity"]["apply"]["count"] == before.get("apply", {"count": 0})["count"] + 1
    assert {"image-prompt", "torch", "safetensors", "Python"} <= found["versions"].keys()
    assert found["device"]["sampling"] == "cpu"
    assert {part["name"] for part in found["optional"]} >= {"onnxruntime", "insightface", "CUDA"}
    assert all(part["detail"] for part in found["optional"])
    loaded = {model["name"]: model for model in found["loaded"]}
    assert loaded["demo-ip-adapter-plus_sd15.safetensors"]["bytes"] > 100_000
    assert {model["dtype"] for model in found["loaded"]} <= {"float32", "float16", "bfloat16"}


@pytest.mark.parametrize("route", ROUTES)
def test_no_answer_holds_an_absolute_path(server, bad_file, route):
    _, body = ask(server, route)
    text = json.dumps(json.loads(body), ensure_ascii=False)
    assert str(server.base) not in text
    assert str(server.base.resolve()) not in text


@pytest.mark.parametrize(
    "path",
    [
        "/image-prompt/models/../../../etc/passwd",
        "/image-prompt/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/image-prompt/models/ipadapter",
        "/image-prompt/..%5c..%5cmodels",
        "/image-prompt/",
        "/image-prompt/paths",
    ],
)
def test_nothing_else_is_there(server, path):
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path", ["/image-prompt", "/image-prompt/", "/image-prompt/models/x", "/api/image-prompt/paths"]
)
def test_what_is_not_there_is_told_in_json(server, path, method):
    code, body = ask(server, path, method)
    assert (code, json.loads(body)) == (
        404,
        {"error": f"There is no such route. There are {', '.join(ALL)}."},
    )


@pytest.mark.parametrize("route", ROUTES)
def test_heads_and_both_prefixes_are_answered(server, route):
    assert ask(server, route, "HEAD") == (200, b"")
    assert json.loads(ask(server, f"/api{route}")[1]).keys() == json.loads(ask(server, route)[1]).keys()


def test_a_package_that_fails_at_import_is_broken(server):
    installed = version("insightface")  # the tests compare with it; the server has one before it that is broken
    parts = {"insightface": {"state": "untried"}}
    while parts["insightface"]["state"] == "untried":  # the child of the first request may still run
        parts = {part["name"]: part for part in status_of_now(server)["optional"]}
    assert parts["insightface"] == {
        "name": "insightface",
        "present": False,
        "detail": f"{installed}, which cannot be imported: ImportError: needs numpy<2, in insightface.py",
        "state": "broken",
    }


@pytest.mark.parametrize("route", ROUTES)
def test_other_sites_are_refused(server, route):
    assert ask(server, route, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert ask(server, route, Origin="http://evil.example")[0] == 403


def test_references_are_deleted_by_a_page_of_this_server_alone(server):
    path = server.base / "models" / "image_prompts" / "of a route.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_features(path, VisionFeatures(image_embeds=torch.rand(1, 8), encoder="CLIP ViT-H/14"))

    def delete(**headers: str) -> int:
        body = json.dumps({"name": path.name}).encode()
        request = urllib.request.Request(f"{server.url}/api/image-prompt/references/delete", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    json_type = {"Content-Type": "application/json"}
    assert [delete(**json_type), delete(**json_type, Origin="http://evil.example"), delete(Origin=server.url)] == [
        403,
        403,
        415,
    ]
    assert path.is_file() and delete(**json_type, Origin=server.url) == 200 and not path.exists()


def test_thousands_of_requests_while_a_prompt_runs(server, run, sd15):
    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, server, ROUTES[number % 2]) for number in range(2000)]
        for node in sd15.values():
            if node["class_type"] == "KSampler":
                node["inputs"]["seed"] = 2000  # not what another test has run
        assert run(sd15).pictures
        assert {answer.result()[0] for answer in answers} == {200}
