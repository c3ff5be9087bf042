"""The shipped workflows run on the real server: queued over HTTP, followed on the websocket, pictures decoded."""

import copy

import numpy as np
import pytest
from PIL import Image

from image_prompt.demo.stand_ins import LATENTS
from image_prompt.devtools.comfyui import ServerError

from .test_example_workflows import NAMES


def changed(workflow: dict, node: str, **inputs: object) -> dict:
    workflow = copy.deepcopy(workflow)
    workflow[node]["inputs"].update(inputs)
    return workflow


def find(workflow: dict, class_type: str) -> str:
    return next(key for key, node in workflow.items() if node["class_type"] == class_type)


def without_apply(workflow: dict) -> dict:
    """The workflow with the Apply node taken out, its model connected directly."""
    workflow = copy.deepcopy(workflow)
    apply = workflow.pop(find(workflow, "ImagePromptApply"))
    workflow[find(workflow, "KSampler")]["inputs"]["model"] = apply["inputs"]["model"]
    return workflow


@pytest.mark.parametrize("name", NAMES)
def test_workflow_runs_to_pictures_of_the_right_size(run, load_workflow, name):
    workflow = load_workflow(name, size=128, steps=2)
    finished = run(workflow)
    assert finished.executed | finished.cached == set(workflow)
    assert find(workflow, "KSampler") in finished.executed
    (latent,) = (node["inputs"] for node in workflow.values() if node["class_type"] in LATENTS)
    kept = [node["inputs"]["keep"] for node in workflow.values() if node["class_type"] == "ImagePromptRank"]
    assert len(finished.pictures) == sum(kept or [latent["batch_size"]])
    for picture in finished.pictures:
        assert picture.shape == (latent["height"], latent["width"], 3)
        assert picture.std() > 10  # not one colour


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_weight_zero_gives_the_picture_without_the_node(run, request, name):
    workflow = request.getfixturevalue(name)
    plain = run(without_apply(workflow)).pictures[0]
    zero = run(changed(workflow, find(workflow, "ImagePromptApply"), weight=0.0)).pictures[0]
    steered = run(workflow).pictures[0]
    assert np.array_equal(zero, plain)
    assert not np.array_equal(steered, plain)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_a_workflow_without_layers_runs_as_before(run, request, name):
    workflow = request.getfixturevalue(name)
    apply, old = find(workflow, "ImagePromptApply"), copy.deepcopy(workflow)
    assert old[apply]["inputs"].pop("layers") == "all"
    every = run(workflow).pictures[0]
    assert np.array_equal(run(old).pictures[0], every)
    assert not np.array_equal(run(changed(workflow, apply, layers="style")).pictures[0], every)


def test_another_reference_gives_another_picture(run, sd15):
    other = changed(sd15, find(sd15, "LoadImage"), image="astronaut.jpg")
    assert not np.array_equal(run(sd15).pictures[0], run(other).pictures[0])


def test_a_combination_at_its_ends_is_one_reference(run, sdxl):
    combine = find(sdxl, "ImagePromptCombine")

    def combined(**inputs: object) -> np.ndarray:
        return run(changed(sdxl, combine, **inputs)).pictures[0]

    first = changed(sdxl, find(sdxl, "ImagePromptApply"), features=sdxl[combine]["inputs"]["features_1"])
    between = combined(method="interpolate", interpolation=0.5)
    assert np.array_equal(combined(method="interpolate", interpolation=0.0), run(first).pictures[0])
    assert np.array_equal(combined(method="weighted average", weights="2, 2"), between)
    assert not np.array_equal(combined(method="weighted average", weights="2, 0"), between)


@pytest.mark.parametrize("class_type", ["KSampler", "ImagePromptApply", "ImagePromptDemoCheckpoint"])
def test_three_runs_are_identical(run, sd15, class_type):
    """An unknown input changes a node's cache key and nothing else: that node and all after it run again."""
    node, sampler = find(sd15, class_type), find(sd15, "KSampler")
    runs = [run(changed(sd15, node, unrelated=number)) for number in range(3)]
    assert all({node, sampler} <= finished.executed for finished in runs[1:])
    assert all(np.array_equal(finished.pictures[0], runs[0].pictures[0]) for finished in runs[1:])


def test_the_encoder_shows_what_it_saw(run, sd15):
    seen = {
        "class_type": "SaveImage",
        "inputs": {"images": [find(sd15, "ImagePromptEncode"), 1], "filename_prefix": "seen"},
    }
    pictures = {picture.shape[0]: picture for picture in run({**sd15, "seen": seen}).pictures}
    assert pictures[224].shape == (224, 224, 3)


def test_the_encoder_sees_tiles_and_what_a_mask_shows(run, sd15):
    """A mask wider than the picture is high makes a square that reaches beyond the picture."""
    encode = find(sd15, "ImagePromptEncode")
    clip_vision = sd15[encode]["inputs"]["clip_vision"]
    nodes = {
        "image": ("EmptyImage", {"width": 96, "height": 64, "batch_size": 1, "color": 0xFF0000}),
        "mask": ("SolidMask", {"value": 1.0, "width": 96, "height": 64}),
        "tiles": ("ImagePromptEncode", {"crop": "tiles"}),
        "masked": ("ImagePromptEncode", {"crop": "mask", "mask": ["mask", 0], "background": "white"}),
    }
    for name in ("tiles", "masked"):
        nodes[name][1].update(clip_vision=clip_vision, image=["image", 0])
        nodes[f"seen of {name}"] = ("SaveImage", {"images": [name, 1], "filename_prefix": name})
    workflow = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
    pictures = run({clip_vision[0]: sd15[clip_vision[0]], **workflow}).pictures
    columns = [tuple(map(tuple, picture[[0, 112], 112].tolist())) for picture in pictures]
    red, white = (255, 0, 0), (255, 255, 255)
    assert sorted(columns) == [(red, red)] * 6 + [(white, red)]


def test_pictures_of_a_folder_are_references(run, server, sd15):
    folder = server.base / "input" / "references" / "of a test"
    folder.mkdir(parents=True)
    for number, name in enumerate(("2.png", "10.png")):
        Image.new("RGB", (60 + number, 40), (number * 200, 90, 30)).save(folder / name)
    encode = find(sd15, "ImagePromptEncode")
    workflow = copy.deepcopy(sd15)
    given = {"clip_vision": sd15[encode]["inputs"]["clip_vision"], "folder": "references/of a test"}
    workflow[encode] = {"class_type": "ImagePromptEncodeFolder", "inputs": given}
    workflow["seen"] = {"class_type": "SaveImage", "inputs": {"images": [encode, 1], "filename_prefix": "folder"}}
    workflow["names"] = {"class_type": "PreviewAny", "inputs": {"source": [encode, 2]}}
    first = run(workflow)
    squares = [picture for picture in first.pictures if picture.shape[0] == 224]
    assert [square[112, 112].tolist() for square in squares] == [[0, 90, 30], [200, 90, 30]]
    assert encode in run(workflow).cached
    turn = changed(workflow, encode, pictures="in turn", number=1)
    assert [picture[112, 112, 0] for picture in run(turn).pictures if picture.shape[0] == 224] == [200]
    Image.new("RGB", (30, 30), (7, 7, 7)).save(folder / "1.png")
    again = run(workflow)
    assert encode in again.executed
    assert [picture[112, 112, 0] for picture in again.pictures if picture.shape[0] == 224] == [7, 0, 200]
    refused = changed(workflow, encode, folder="../models")
    with pytest.raises(ServerError, match="folder"):
        run(refused)
