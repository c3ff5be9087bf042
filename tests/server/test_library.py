"""Features are saved and loaded again by workflows that go through the queue."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from image_prompt.devtools.comfyui import ServerError


def find(workflow: dict, class_type: str) -> str:
    return next(key for key, node in workflow.items() if node["class_type"] == class_type)


def saving(workflow: dict, name: str) -> dict:
    inputs = {
        "features": [find(workflow, "ImagePromptEncode"), 0],
        "name": name,
        "image": [find(workflow, "LoadImage"), 0],
    }
    return {**workflow, "save": {"class_type": "ImagePromptSaveFeatures", "inputs": inputs}}


def loading(workflow: dict, name: str) -> dict:
    """The workflow with saved features in place of the encoder and the image."""
    kept = {
        key: node
        for key, node in workflow.items()
        if node["class_type"] not in ("ImagePromptEncode", "ImagePromptLoadEncoder", "LoadImage")
    }
    kept[find(kept, "ImagePromptApply")]["inputs"]["features"] = ["load", 0]
    return {**kept, "load": {"class_type": "ImagePromptLoadFeatures", "inputs": {"features_name": name}}}


def test_the_picture_is_the_same_without_the_image_and_the_encoder(run, server, sd15, load_workflow):
    (expected,) = run(sd15).pictures
    prompt_id = server.queue(saving(sd15, "cats/black cat"))
    shown = server.wait(prompt_id)["outputs"]["save"]["images"]
    assert [picture["type"] for picture in shown] == ["temp"]
    name = str(Path("cats") / "black cat_00001_.safetensors")
    info = server.get("/object_info/ImagePromptLoadFeatures")["ImagePromptLoadFeatures"]
    assert info["input"]["required"]["features_name"][1]["options"].count(name) == 1
    found = server.get("/view_metadata/image_prompts?filename=cats%2Fblack%20cat_00001_.safetensors")
    assert len(json.loads(found["sources"])) == 1 and found["thumbnail"]
    finished = run(loading(load_workflow("One_reference_SD1.5", size=64, steps=3), name))
    assert np.array_equal(finished.pictures[-1], expected)


def test_an_old_file_with_code_is_refused_and_the_queue_goes_on(run, server, sd15, load_workflow):
    (server.base / "input" / "old.ipadpt").write_bytes(pickle.dumps(Path("anything but a tensor")))
    bad = loading(load_workflow("One_reference_SD1.5", size=64, steps=3), "old.ipadpt [input]")
    with pytest.raises(
        ServerError, match=r"ImagePromptLoadFeatures: old\.ipadpt is a pickle that holds more than tens"
    ):
        run(bad)
    with pytest.raises(ServerError, match="cannot be that of a file"):
        run(saving(sd15, "../cat"))
    assert run(sd15).pictures
