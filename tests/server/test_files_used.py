"""Pictures say which files made them, also those whose loaders ComfyUI did not run again."""

import json
import urllib.request

import pytest

from image_prompt.command_line import command
from image_prompt.devtools.comfyui import DIRECT

from .test_models import catalogue, found_by_content  # noqa: F401
from .test_workflows import changed, find

ADAPTER, ENCODER = "demo-ip-adapter-plus_sd15.safetensors", "demo-encoder.safetensors"


def queue(server, body: dict) -> str:
    request = urllib.request.Request(
        f"{server.url}/prompt", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with DIRECT.open(request, timeout=30) as answer:
        return json.load(answer)["prompt_id"]


@pytest.fixture
def told(server, tmp_path, capsys):
    """What `identify` says of the picture that a queued prompt has saved."""

    def told(prompt_id: str) -> dict:
        (picture,) = server.pictures(server.wait(prompt_id))
        path = tmp_path / f"{prompt_id}.png"
        path.write_bytes(picture)
        assert command.main(["identify", "--json", "--models", str(server.base / "models"), str(path)]) == 0
        assert str(server.base).encode() not in picture
        return json.loads(capsys.readouterr().out)[0]["made_with"]

    return told


def test_both_pictures_of_a_prompt_that_is_queued_twice_say_it(server, sd15, told):
    sampler = find(sd15, "KSampler")
    fresh = changed(sd15, find(sd15, "ImagePromptLoadEncoder"), dtype="fp32")  # no other test has loaded this
    queued = [server.queue(changed(fresh, sampler, seed=seed)) for seed in (101, 102)]
    first, second = map(told, queued)
    assert first == second
    files = {file["kind"]: file for file in first["files"]}
    adapter, encoder = files["adapter"], files["encoder"]
    assert len(first["files"]) == 2 and first["version"]
    assert (adapter["folder"], adapter["name"], adapter["family"]) == ("ipadapter", ADAPTER, "plus")
    assert adapter["node"] == find(sd15, "ImagePromptLoadAdapter") and adapter["base_model"] == "SD1.5"
    assert (encoder["folder"], encoder["name"], encoder["dtype"]) == ("clip_vision", ENCODER, "float32")
    for file in files.values():
        path = server.base / "models" / file["folder"] / file["name"]
        assert (file["size"], file["here"], file["path"]) == (path.stat().st_size, "yes", str(path))


def test_the_workflow_of_the_page_stays_beside_it(server, sd15, told):
    workflow = {"id": "a page's", "nodes": []}
    prompt_id = queue(server, {"prompt": sd15, "extra_data": {"extra_pnginfo": {"workflow": workflow}}})
    assert {file["kind"] for file in told(prompt_id)["files"]} == {"adapter", "encoder"}
    kept = server.get(f"/history/{prompt_id}")[prompt_id]["prompt"][3]["extra_pnginfo"]
    assert kept["workflow"] == workflow


@pytest.mark.usefixtures("catalogue")
def test_files_that_were_found_are_named(server, load_workflow, told):
    """The graph says only what they are for."""
    workflow = found_by_content(load_workflow("One_reference_SD1.5", size=64, steps=1), "plus")
    files = told(server.queue(workflow))["files"]
    assert [(file["node"], file["kind"], file["name"]) for file in files] == [
        ("models", "adapter", ADAPTER),
        ("models", "encoder", ENCODER),
    ]
    assert files[0]["catalogue"] == "demo-plus"


def test_a_prompt_without_our_loaders_carries_nothing(server):
    image = {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 7}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["image", 0], "filename_prefix": "plain"}}
    (picture,) = server.pictures(server.wait(server.queue({"image": image, "save": save})))
    assert b"image_prompt" not in picture
