"""Models are found by content in workflows that go through the queue."""

import json

import numpy as np
import pytest

from image_prompt.demo.make_models import ENCODER_WIDTH
from image_prompt.devtools.comfyui import ServerError

OWN = {
    "id": "demo-plus",
    "title": "The demo's adapter",
    "kind": "adapter",
    "family": "plus",
    "base_model": "SD1.5",
    "encoder": f"an encoder whose penultimate is {ENCODER_WIDTH} wide",
    "purposes": ["plus"],
    "folder": "ipadapter",
    "files": ["demo-ip-adapter-plus_sd15.safetensors"],
}


@pytest.fixture
def catalogue(server):
    path = server.base / "user" / "image-prompt-catalogue.json"
    path.write_text(json.dumps({"entries": [OWN]}))
    yield
    path.unlink()


def found_by_content(workflow: dict, purpose: str) -> dict:
    """The workflow with Load Image Prompt Models in place of the two loaders."""
    kinds = {node["class_type"]: name for name, node in workflow.items()}
    adapter, encoder = (kinds.pop(f"ImagePromptLoad{what}") for what in ("Adapter", "Encoder"))
    changed = {name: node for name, node in workflow.items() if name not in (adapter, encoder)}
    (apply,) = [node for node in changed.values() if node["class_type"] == "ImagePromptApply"]
    inputs = {"model": apply["inputs"]["model"], "purpose": purpose}
    apply["inputs"] |= {"model": ["models", 0], "adapter": ["models", 1]}
    (encode,) = [node for node in changed.values() if node["class_type"] == "ImagePromptEncode"]
    encode["inputs"]["clip_vision"] = ["models", 2]
    return changed | {"models": {"class_type": "ImagePromptLoadModels", "inputs": inputs}}


@pytest.mark.parametrize("purpose", ["auto", "plus"])
def test_the_picture_is_that_of_the_files_named_by_hand(run, load_workflow, catalogue, purpose):
    named = run(load_workflow("One_reference_SD1.5", size=64, steps=3)).pictures
    (found,) = run(found_by_content(load_workflow("One_reference_SD1.5", size=64, steps=3), purpose)).pictures
    np.testing.assert_array_equal(found, named[0])


def test_what_is_missing_is_explained_to_the_client(run, load_workflow):
    with pytest.raises(
        ServerError,
        match=r"(?s)ImagePromptLoadModels: Not found: .*ip-adapter-full-face_sd15\."
        r"safetensors.*huggingface\.co.*models/ipadapter",
    ):
        run(found_by_content(load_workflow("One_reference_SD1.5", size=64, steps=3), "full face"))


def test_the_report_is_in_the_history(server):
    prompt_id = server.queue({"report": {"class_type": "ImagePromptModelReport", "inputs": {}}})
    (text,) = server.wait(prompt_id)["outputs"]["report"]["text"]
    assert "missing" in text and "ipadapter/demo-ip-adapter-plus_sd15.safetensors" in text
    assert str(server.base) not in text
