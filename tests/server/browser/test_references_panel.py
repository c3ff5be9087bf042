"""The panel of saved features lists them, puts them into the graph, and deletes them after a question."""

import torch
from PIL import Image

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.devtools.comfyui import Server

SCENARIO = "references_panel"
CAT, DOG = "demo pets/cat_00001_.safetensors", "demo dog_00002_.safetensors"


def task(server: Server, object_info: dict) -> dict:
    folder = server.base / "models" / "image_prompts"
    (folder / "demo pets").mkdir(parents=True, exist_ok=True)
    for name, image in ((DOG, None), (CAT, server.base / "input" / "grace_hopper.jpg")):
        if not (folder / name).exists():
            features = VisionFeatures(image_embeds=torch.rand(2, 8), encoder="CLIP ViT-H/14")
            save_features(folder / name, features, image=image and Image.open(image))
    return {"cat": CAT, "dog": DOG, "mine": [CAT, DOG]}


def test_references_are_listed_with_thumbnail_encoder_number_and_date(seen):
    assert [name for name in seen["listed"] if name in (CAT, DOG)] == [CAT, DOG]  # the newest is first
    text = seen["texts"][seen["listed"].index(CAT)]
    assert "cat" in text and "CLIP ViT-H/14 · 2 pictures · " in text
    assert max(seen["thumbnail"]) > 32


def test_a_search_finds_names(seen):
    assert seen["searched"] == [DOG] and "no such thing" in seen["nothing"]


def test_a_click_a_key_and_a_drag_put_one_into_the_graph(seen):
    assert (seen["clicked"], seen["redone"]) == ([CAT], [CAT])  # one step of undo
    assert seen["focused"] == DOG and seen["inserted"] == seen["reloaded"] == [CAT, DOG, CAT]
    x, y = seen["dropped"]
    assert abs(x - 500) < 20 and abs(y - 250) < 60


def test_one_is_deleted_after_a_question_alone(seen):
    assert seen["kept"] == seen["listed"]
    assert seen["left"] == [name for name in seen["listed"] if name != CAT]
    assert not {CAT, DOG} & {*seen["end"]}


def test_an_empty_list_says_how_to_save_features(seen):
    assert "Save Image Prompt Features" in seen["empty"]
