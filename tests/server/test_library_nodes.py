"""A library is filled, searched and rated by workflows that go through the queue, with the demo world's CLIP."""

import json
import urllib.parse

import numpy as np
import pytest

from image_prompt.devtools.comfyui import check_success

from .conftest import decode
from .test_embeddings import SCENES, drawn, node  # noqa: F401

NAME = "scenes"
ENCODER = {"encoder": node("ImagePromptLoadEncoder", encoder_name="demo_world.safetensors")}


@pytest.fixture(scope="module")
def filled(server, drawn):  # noqa: F811
    files = "\n".join(f"scene {number}.png [input]" for number in range(len(SCENES)))
    add = node("ImagePromptAddToLibrary", clip_vision=["encoder", 0], library=NAME, files=files)
    entry = server.wait(server.queue({**ENCODER, "add": add}))
    check_success(entry)
    assert entry["outputs"]["add"]["image_prompt_said"] == [f"{len(SCENES)} pictures added to {NAME}"]
    return drawn


def search_by(text: str) -> dict:
    return {
        **ENCODER,
        "text": node("ImagePromptEmbedText", text=text, clip_vision=["encoder", 0]),
        "nearest": node(
            "ImagePromptNearestReference", library=NAME, query=["text", 0], k=1, clip_vision=["encoder", 0]
        ),
        "kept": node("SaveImage", images=["nearest", 0], filename_prefix="nearest"),
        "path": node("PreviewAny", source=["nearest", 1]),
        "score": node("PreviewAny", source=["nearest", 2]),
        "again": node("ImagePromptEmbedding", features=["nearest", 4]),
        "alike": node("ImagePromptSimilarity", a=["text", 0], b=["again", 0]),
        "cosine": node("PreviewAny", source=["alike", 0]),
    }


def texts_of(entry: dict) -> dict:
    return {name: output["text"] for name, output in entry["outputs"].items() if "text" in output}


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_a_text_finds_its_picture_in_the_graph_and_in_the_panel(server, filled, number):
    text = SCENES[number].caption()
    entry = server.wait(server.queue(search_by(text)))
    check_success(entry)
    said = texts_of(entry)
    (kept,) = server.pictures(entry)
    assert said["path"] == [f"scene {number}.png"] and np.array_equal(decode(kept), filled[number])
    assert float(said["cosine"][0]) == pytest.approx(float(said["score"][0]), abs=1e-3)  # the library keeps fp16
    asked = urllib.parse.urlencode({"library": NAME, "text": text, "k": 3})
    found = server.get(f"/image-prompt/libraries/search?{asked}")["found"]
    assert found[0]["path"] == found[0]["input"] == f"scene {number}.png"
    assert found[0]["score"] == pytest.approx(float(said["score"][0]), abs=1e-5)
    assert str(server.base) not in json.dumps(found)


def test_what_was_found_runs_again_once_the_library_has_changed(server, run, filled):
    workflow = search_by(SCENES[0].caption())
    run(workflow)
    assert "nearest" in run(workflow).cached
    rate = node("ImagePromptRateInLibrary", library=NAME, paths="scene 0.png", rating=1)
    check_success(server.wait(server.queue({"rate": rate})))
    assert "nearest" not in run(workflow).cached
    advise = {"advise": node("ImagePromptAdvise", library=NAME)}
    entry = server.wait(server.queue(advise))
    assert entry["outputs"]["advise"]["image_prompt_said"][0].startswith("0 of 1 pictures say")
