"""Texts and pictures are compared by workflows that go through the queue, with the demo world's CLIP."""

import copy

import numpy as np
import pytest

from image_prompt.demo.sheet import to_image
from image_prompt.demo.world import Scene, draw
from image_prompt.devtools.comfyui import ServerError, check_success

from .conftest import decode

SCENES = [
    Scene("circle", "red", "plain", "white", "middle", "large"),
    Scene("square", "blue", "stripes", "black", "left", "small"),
    Scene("star", "green", "dots", "grey", "right", "large"),
]


@pytest.fixture(scope="module")
def drawn(server):
    images = [to_image(picture) for picture in draw([(scene,) for scene in SCENES])]
    for number, image in enumerate(images):
        image.save(server.base / "input" / f"scene {number}.png")
    return [np.asarray(image) for image in images]


def best_of(text: str, **rank) -> dict:
    """A workflow that keeps the picture that fits a text best."""
    return {
        "encoder": node("ImagePromptLoadEncoder", encoder_name="demo_world.safetensors"),
        "text": node("ImagePromptEmbedText", text=text, clip_vision=["encoder", 0]),
        **{str(number): node("LoadImage", image=f"scene {number}.png") for number in range(3)},
        "two": node("ImageBatch", image1=["0", 0], image2=["1", 0]),
        "three": node("ImageBatch", image1=["two", 0], image2=["2", 0]),
        "rank": node("ImagePromptRank", images=["three", 0], reference=["text", 0], clip_vision=["encoder", 0], **rank),
        "kept": node("SaveImage", images=["rank", 0], filename_prefix="kept"),
        "index": node("PreviewAny", source=["rank", 2]),
        "score": node("PreviewAny", source=["rank", 1]),
        "features": node("ImagePromptEncode", clip_vision=["encoder", 0], image=["rank", 0]),
        "picture": node("ImagePromptEmbedding", features=["features", 0]),
        "alike": node("ImagePromptSimilarity", a=["text", 0], b=["picture", 0]),
        "cosine": node("PreviewAny", source=["alike", 0]),
        "repeated": node("ImageBatch", image1=["three", 0], image2=["1", 0]),
        "unique": node("ImagePromptUnique", images=["repeated", 0], clip_vision=["encoder", 0]),
        "groups": node("PreviewAny", source=["unique", 2]),
    }


def node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


@pytest.mark.parametrize("number", range(3))
def test_the_text_keeps_its_picture(server, drawn, number):
    workflow = best_of(SCENES[number].caption())
    entry = server.wait(server.queue(workflow))
    check_success(entry)
    texts = {name: output["text"] for name, output in entry["outputs"].items() if "text" in output}
    assert texts["index"] == [str(number)]
    assert float(texts["cosine"][0]) == pytest.approx(float(texts["score"][0]), abs=1e-4)
    assert texts["groups"] == ["1 is kept; same picture: 3"]
    (kept,) = server.pictures(entry)
    assert np.array_equal(decode(kept), drawn[number])


def test_what_is_typed_runs_again_and_the_rest_is_known(run, drawn):
    workflow = best_of(SCENES[0].caption())
    run(workflow)
    changed = copy.deepcopy(workflow)
    changed["text"]["inputs"]["text"] = "a small square"
    finished = run(changed)
    assert "encoder" in finished.cached and {"text", "rank", "alike"} <= finished.executed - finished.cached


def test_a_minimum_that_no_picture_has_ends_the_run(run, drawn):
    with pytest.raises(ServerError, match=r"ImagePromptRank: None of 3 pictures has a score of 0.99 or more: the best"):
        run(best_of(SCENES[0].caption(), minimum=0.99))
