"""The example workflows and every node work in a browser."""

import json

import pytest

from image_prompt.demo import playground
from image_prompt.demo.make_models import ENCODER_WIDTH
from image_prompt.demo.stand_ins import api_example
from image_prompt.devtools.comfyui import Server

from ..test_boot import NODES
from ..test_example_workflows import NAMES

SCENARIO = "templates"
LAST = "Two_references_SDXL"  # the template to which the nodes are added that none has
SMALL = {"size": 64, "steps": 2}
RUNS = {name: bool(number % 2) for number, name in enumerate(NAMES)}  # whether a template is run in Nodes 2.0
FEW = 5  # nodes whose help is opened in French
WITH_PICTURES = {  # nodes that show one after a run
    "ImagePromptSaveFeatures",
    "ImagePromptLoadFeatures",
    "ImagePromptRecordInfluence",
    "ImagePromptInfluenceMap",
}
TALLEST = {  # as a node is drawn
    "ImagePromptEncode": 680,  # two texts and a picture
    "ImagePromptApply": 400,  # start and end are always shown, and room for what it says
    "ImagePromptRecordInfluence": 480,  # room for its picture
    "ImagePromptReference": 500,  # many inputs
    "ImagePromptInstantIDControlNet": 345,
    "ImagePromptLayerWeights": 470,  # bars
    "ImagePromptStepWeights": 440,  # a curve
    "ImagePromptRegions": 680,  # a canvas
    "ImagePromptInfluenceMap": 500,  # room for its picture
    "ImagePromptNearestReference": 400,  # many inputs and outputs
    "ImagePromptAddToLibrary": 390,  # two texts
}
OWN = {  # the small adapter behind the last template
    "id": "demo-plus",
    "title": "The demo's adapter",
    "kind": "adapter",
    "family": "plus",
    "base_model": "SDXL",
    "encoder": f"an encoder whose penultimate is {ENCODER_WIDTH} wide",
    "purposes": ["plus"],
    "folder": "ipadapter",
    "files": ["demo-ip-adapter-plus_sdxl.safetensors"],
}


def task(server: Server, object_info: dict) -> dict:
    titles = {name: object_info[name]["display_name"] for name in NODES}
    path = server.base / "user" / "image-prompt-catalogue.json"
    catalogue = {"path": str(path), "content": json.dumps({"entries": [OWN]})}  # there while this is played
    templates = playground.write_templates(server, **SMALL)
    templates[LAST] = templates.pop(LAST)
    address = playground.address(server, NAMES[0], playground.STAND_INS)
    opened = {"nodes": titles, "templates": templates, "address": address, "catalogue": catalogue}
    return {**opened, "runs": RUNS, "few": FEW}


def ran(server: Server, ended: dict) -> dict:
    """The history entry of what the browser queued."""
    assert ended["kind"] == "execution_success", ended
    return server.get(f"/history/{ended['prompt_id']}")[ended["prompt_id"]]


def nodes_and_inputs(prompt: dict) -> dict:
    return {number: (node["class_type"], node["inputs"]) for number, node in prompt.items()}


def is_read(words: str, texts: list[str]) -> bool:
    return any(words in text for text in texts)


def tallest(node: str) -> int:
    return TALLEST.get(node, 330)


def test_every_node_is_drawn(seen):
    views = [*(template["drawn"] for template in seen["templates"].values()), seen["added"]["drawn"]]
    nodes = [node for view in views for node in view["nodes"]]
    assert {node["type"] for node in nodes} == set(NODES)
    assert [node for node in nodes if not node["drawn"]] == []
    wrong = {node["type"]: round(node["height"]) for node in nodes if not 30 < node["height"] < tallest(node["type"])}
    assert wrong == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_runs_as_its_api_format_says(seen, server, name, renderer):
    """In one renderer; in the other it would queue the same."""
    found = seen["templates"][name]
    runs = RUNS[name] == (renderer == "nodes2")
    queued = ran(server, found["ended"])["prompt"][2] if runs else found["prompt"]
    assert nodes_and_inputs(queued) == nodes_and_inputs(api_example(name, **SMALL))


def test_a_run_adds_nothing_to_what_is_saved(seen):
    """A run may only make a node higher, by the lines or by the picture that it shows."""
    for template in (each for each in seen["templates"].values() if "ended" in each):
        before, after = ([{**node, "size": 0} for node in template[when]] for when in ("before", "after"))
        assert after == before
        for old, new in zip(template["before"], template["after"], strict=True):
            most = 250 if old["type"] in WITH_PICTURES else 80
            assert 0 <= new["size"][1] - old["size"][1] < most, old["type"]
    values = {node["type"]: node.get("widgets_values") for node in seen["added"]["after"]}
    assert (values["ImagePromptLoadModels"], values["ImagePromptModelReport"]) == (["auto"], [])


def test_the_report_is_short_on_the_node_and_whole_behind_it(seen, server):
    outputs = ran(server, seen["added"]["ended"])["outputs"].values()
    (report, read) = (text for output in outputs for text in output.get("text", []) if "Missing:" in text)
    assert report == read
    texts = seen["added"]["drawn"]["texts"]
    assert is_read(report.split("\n")[0], texts) and not is_read("Missing:", texts)


def test_the_report_leaves_no_tall_node(seen):
    (saved,) = (node["size"][1] for node in seen["added"]["after"] if node["type"] == "ImagePromptModelReport")
    (again,) = (node["height"] for node in seen["added"]["again"]["nodes"] if node["type"] == "ImagePromptModelReport")
    assert saved <= 130 and again <= 160  # as drawn, its title is counted too


def test_what_was_found_is_said_on_the_node(seen):
    assert is_read("plus: demo-ip-adapter-plus_sdxl\nplus for SDXL, ", seen["added"]["drawn"]["texts"])


def test_help_is_shown_in_any_language(seen, object_info, renderer):
    """Of every node in English, and of a few in French, where test_help_pages.py asks for every page."""
    headings = seen["headings"]
    assert len(headings) == FEW if renderer == "nodes2" else headings.keys() == set(NODES)
    assert headings == {name: object_info[name]["display_name"] for name in headings}
