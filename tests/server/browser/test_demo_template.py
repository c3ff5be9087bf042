"""The demo's template runs at the first click, and its pictures are what its reference and its text ask for."""

import json

import numpy as np
import pytest
import torch

from image_prompt.demo import playground
from image_prompt.demo.fill import file_name
from image_prompt.demo.measure import measure
from image_prompt.demo.sheet import references
from image_prompt.devtools.comfyui import DEMO_NODES, Server
from image_prompt.devtools.workflows import to_api

from ..conftest import decode
from .test_templates import nodes_and_inputs, ran

SCENARIO = "demo"
WORKFLOW = DEMO_NODES[playground.DEMO] / "example_workflows" / f"{playground.TEMPLATE}.json"
LARGER = 4  # than the models draw
OTHER_WAY = "a  shape"  # the same words to the demo's tokenizer, and to ComfyUI something that it has not sampled yet


def task(server: Server, object_info: dict) -> dict:
    return {"address": playground.address(server), "nodes": len(json.loads(WORKFLOW.read_text())["nodes"])}


@pytest.fixture
def api(object_info) -> dict:
    return to_api(json.loads(WORKFLOW.read_text()), object_info)


@pytest.fixture
def pictures(seen, server) -> list[np.ndarray]:
    return [decode(file) for file in server.pictures(ran(server, seen["ended"]))]


def test_it_is_queued_as_it_is_saved(seen, server, api):
    assert nodes_and_inputs(ran(server, seen["ended"])["prompt"][2]) == nodes_and_inputs(api)


def test_its_pictures_are_those_of_the_queue(pictures, run, api):
    (text,) = (node["inputs"] for node in api.values() if node["inputs"].get("text") == "a shape")
    text["text"] = OTHER_WAY
    assert np.array_equal(pictures, run(api).pictures)


def test_its_pictures_show_what_the_reference_shows(pictures, api):
    (name,) = (node["inputs"]["image"] for node in api.values() if node["class_type"] == "LoadImage")
    (scene,) = (scene for scene in references() if file_name(scene) == name)
    small = torch.from_numpy(np.stack(pictures))[:, ::LARGER, ::LARGER].movedim(-1, 1) / 255
    assert len(small) == 4
    for reading in measure(small):
        assert (reading["colour"], reading["texture"]) == (scene.colour, scene.texture)
