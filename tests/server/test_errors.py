"""For bad files and bad values the user reads what is wrong, and the queue continues."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from image_prompt.demo import make_models
from image_prompt.devtools.comfyui import ServerError

SIMPLE = "One_reference_SD1.5"


def half(path: Path, whole: Path) -> None:
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def lora(path: Path, whole: Path) -> None:
    layer = "lora_unet_mid_block_attentions_0_proj_in"
    save_file({f"{layer}.lora_down.weight": torch.zeros(4, 32), f"{layer}.lora_up.weight": torch.zeros(32, 4)}, path)


def page(path: Path, whole: Path) -> None:
    path.write_text("<!DOCTYPE html><html><title>Sign in</title></html>")


def pickled(path: Path, whole: Path) -> None:
    path.write_bytes(pickle.dumps(Path("anything but a tensor")))


BAD_FILES = {  # file -> (who makes it, what the message says)
    "half.safetensors": (half, "cut short"),
    "lora.safetensors": (lora, "LoRA"),
    "page.safetensors": (page, "web page"),
    "pickle.bin": (pickled, "pickle"),
}


def alter(workflow: dict, class_type: str, **inputs: object) -> dict:
    for node in workflow.values():
        if node["class_type"] == class_type:
            node["inputs"].update(inputs)
    return workflow


def assert_refused(run, workflow: dict, good: dict, *words: str) -> None:
    """Check that the message has the words, and that the server still runs a good workflow."""
    with pytest.raises(ServerError) as error:
        run(workflow)
    missing = [word for word in words if word.lower() not in str(error.value).lower()]
    assert not missing, f"{missing} not in: {error.value}"
    assert run(alter(good, "KSampler", seed=len(str(error.value)))).pictures


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_adapter(run, server, load_workflow, sd15, name):
    make, word = BAD_FILES[name]
    folder = server.base / "models" / "ipadapter"
    make(folder / name, folder / "demo-ip-adapter-plus_sd15.safetensors")
    bad = alter(load_workflow(SIMPLE), "ImagePromptLoadAdapter", adapter_name=name)
    assert_refused(run, bad, sd15, "ImagePromptLoadAdapter", name, word)


def test_a_file_that_is_no_encoder(run, server, load_workflow, sd15):
    page(server.base / "models" / "clip_vision" / "page.safetensors", Path())
    bad = alter(load_workflow(SIMPLE), "ImagePromptLoadEncoder", encoder_name="page.safetensors")
    assert_refused(run, bad, sd15, "ImagePromptLoadEncoder", "page.safetensors", "web page")


def test_sdxl_adapter_on_a_sd15_model(run, load_workflow, sd15):
    bad = alter(
        load_workflow(SIMPLE),
        "ImagePromptLoadAdapter",
        adapter_name="demo-ip-adapter-plus_sdxl.safetensors",
    )
    assert_refused(run, bad, sd15, "ImagePromptApply", "adapter for SDXL", "model is SD1.5")


def test_sd15_adapter_on_a_sdxl_model(run, load_workflow, sd15):
    bad = alter(
        load_workflow("Two_references_SDXL"),
        "ImagePromptLoadAdapter",
        adapter_name="demo-ip-adapter-plus_sd15.safetensors",
    )
    assert_refused(run, bad, sd15, "ImagePromptApply", "adapter for SD1.5", "model is SDXL")


def test_an_encoder_of_another_width(run, server, load_workflow, sd15):
    metadata = {"vision_config": json.dumps(make_models.VISION_CONFIG)}
    path = server.base / "models" / "clip_vision" / "wider.safetensors"
    make_models.write(path, make_models.encoder(width=96), seed=9, metadata=metadata)
    bad = alter(load_workflow(SIMPLE), "ImagePromptLoadEncoder", encoder_name="wider.safetensors")
    assert_refused(run, bad, sd15, "ImagePromptApply", "64 wide", "96 wide", "image encoder")


def test_start_after_end(run, load_workflow, sd15):
    bad = alter(load_workflow(SIMPLE), "ImagePromptApply", start=0.8, end=0.2)
    assert_refused(run, bad, sd15, "start 0.8 lies after end 0.2")


def test_a_weight_out_of_range(run, load_workflow, sd15):
    bad = alter(load_workflow(SIMPLE), "ImagePromptApply", weight=50.0)
    assert_refused(run, bad, sd15, "bigger than max", "weight")


def test_layers_that_are_not_there(run, load_workflow, sd15):
    bad = alter(load_workflow(SIMPLE), "ImagePromptApply", layers="colour")
    assert_refused(run, bad, sd15, "layers", "colour", "not in")


def test_a_file_that_is_not_there(run, load_workflow, sd15):
    bad = alter(load_workflow(SIMPLE), "ImagePromptLoadAdapter", adapter_name="nowhere.safetensors")
    assert_refused(run, bad, sd15, "nowhere.safetensors", "not in")
