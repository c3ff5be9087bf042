"""Nodes say what they did, and what is wrong with them, in both renderers, until it is mended."""

import json

from image_prompt.demo.make_models import ENCODER_WIDTH
from image_prompt.devtools.comfyui import Server

SCENARIO = "notices"
WRONG, RIGHT = "demo-ip-adapter-plus_sdxl.safetensors", "demo-ip-adapter-plus_sd15.safetensors"
MISSING = "of a friend.safetensors"
OWN = {  # what is known of the missing file, which is there under another name
    "id": "of-a-friend",
    "title": "A friend's adapter",
    "kind": "adapter",
    "family": "plus",
    "base_model": "SD1.5",
    "encoder": f"an encoder whose penultimate is {ENCODER_WIDTH} wide",
    "purposes": ["plus"],
    "folder": "ipadapter",
    "files": [MISSING],
}
PURPOSE = "composition"  # for which the tests have no file


def node(type: str, x: int, y: int, **inputs: object) -> dict:
    return {"type": type, "pos": [x, y], "inputs": inputs}


def task(server: Server, object_info: dict) -> dict:
    nodes = {
        "encoder": node("ImagePromptLoadEncoder", 0, 0, encoder_name="demo-encoder.safetensors"),
        "adapter": node("ImagePromptLoadAdapter", 0, 300, adapter_name=WRONG),
        "image": node("LoadImage", 0, 560, image="astronaut.jpg"),
        "encode": node("ImagePromptEncode", 400, 0, clip_vision=["encoder", 0], image=["image", 0]),
        "model": node("ImagePromptDemoCheckpoint", 0, -200, control_after_generate="fixed"),
        "apply": node("ImagePromptApply", 800, 0, model=["model", 0], adapter=["adapter", 0], features=["encode", 0]),
        "sink": node("PreviewAny", 1200, 0, source=["apply", 0]),
        "models": node("ImagePromptLoadModels", 400, 0, model=["model", 0], purpose=PURPOSE),
        "sinkOfModels": node("PreviewAny", 800, 0, source=["models", 1]),
    }
    path = server.base / "user" / "image-prompt-catalogue.json"
    catalogue = {"path": str(path), "content": json.dumps({"entries": [OWN]})}  # there while the file is looked for
    return {"nodes": nodes, "catalogue": catalogue, "wrong": WRONG, "right": RIGHT, "missing": MISSING}


def is_quiet(strip: dict) -> bool:
    return (strip["notice"], strip["buttons"]) == ("", [])


def test_a_wrong_adapter_is_named_on_the_node_that_applies_it(seen):
    ended, notice = seen["wrong"]["ended"], seen["wrong"]["notice"]
    assert ended["kind"] == "execution_error"
    assert notice["notice"] == f"{WRONG} is an IP-Adapter for SDXL, the model is SD1.5: use one made for SD1.5."
    assert notice["title"] == ended["exception_message"].strip() and notice["isLast"]
    assert notice["buttons"][0] == f"Use {RIGHT}"


def test_the_notice_lies_on_its_node(seen):
    (left, top, right, bottom), strip = seen["wrong"]["box"]["node"], seen["wrong"]["box"]["strip"]
    assert left <= strip[0] and top < strip[1] and strip[2] <= right + 1 and strip[3] <= bottom + 1


def test_the_file_that_fits_is_taken_in_one_step(seen):
    assert seen["used"]["value"] not in (WRONG, "") and is_quiet(seen["used"]["notice"])
    assert is_quiet(seen["undone"])  # another graph was opened, and nothing has run yet


def test_nodes_say_what_they_did(seen):
    ran = seen["ran"]
    assert ran["ended"]["kind"] == "execution_success"
    assert ran["adapter"].startswith("plus for SD1.5, ") and ran["adapter"].split("\n")[0].endswith(" MB")
    assert ran["encoder"].startswith("demo ViT, ") and ran["encoder"].endswith(" MB")
    assert ran["apply"].startswith("1 reference, ") and ran["apply"].endswith(" ms")
    assert ran["isLast"] and not ran["core"]  # ComfyUI's own text is not there twice


def test_it_lasts(seen):
    said = ("encoder", "adapter", "apply")
    ran = [seen["ran"][name] for name in said]
    assert [seen["loaded"][name] for name in said] == ran
    assert [seen["emptied"][name] for name in said] == ["", "", ""]
    assert [seen["cached"][name] for name in said] == ran and not seen["cached"]["core"]


def test_nothing_of_it_is_saved(seen):
    saved = seen["saved"]
    by_id = {node["id"]: node for node in saved["before"]}
    for when in ("wrong", "ran"):
        for found in saved[when]:
            before = by_id[found["id"]]
            assert len(found["widgets_values"] or ()) == len(before["widgets_values"] or ())
            assert abs(found["size"][1] - before["size"][1]) <= 2, (when, found, before)


def test_a_file_that_is_not_there_is_exchanged_by_keyboard(seen):
    missing = seen["missing"]
    assert missing["notice"] == f"{MISSING} is not in models/ipadapter: choose a file that is there, or get it."
    assert missing["buttons"][0] == f"Use {RIGHT}"
    assert {**seen["opened"], "said": missing["said"]} == missing  # before anything is queued
    assert seen["found"]["value"] not in (MISSING, "") and is_quiet(seen["found"]["notice"])


def test_values_that_do_not_fit_are_named(seen):
    assert seen["refused"]["notice"] == "start 0.8 lies after end 0.2: start must not be greater than end."
    assert seen["refused"]["buttons"] == [] and is_quiet(seen["fitting"])


def test_the_link_of_a_file_to_download_can_be_copied(seen):
    absent = seen["absent"]
    assert absent["notice"]["notice"].startswith("Not found: IP-Adapter for SD1.5 of the kind 'composition'.")
    assert absent["copied"].startswith("https://huggingface.co/") and absent["copied"] in absent["notice"]["title"]
