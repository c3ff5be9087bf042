"""The blueprints are listed, can be inserted, run, and take the values that are set outside."""

import json

import pytest

from image_prompt.devtools.blueprints import BLUEPRINTS, FOLDER, inputs_of, node_infos, texts
from image_prompt.devtools.comfyui import Server

from .test_templates import OWN, ran

SCENARIO = "blueprints"
PICTURES = {"Face from a Picture": "face.png"}  # the picture of the others is a photograph
NAMES = [each.name for each in BLUEPRINTS]
FACE = {  # the small adapter for faces
    **OWN,
    "id": "demo-faceid",
    "family": "faceid-plus-v2",
    "purposes": ["FaceID plus v2"],
    "face_pack": "buffalo_l",
    "files": ["demo-faceid-plusv2_sdxl.safetensors"],
}


def task(server: Server, object_info: dict) -> dict:
    path = server.base / "user" / "image-prompt-catalogue.json"
    catalogue = {"path": str(path), "content": json.dumps({"entries": [OWN, FACE]})}
    pictures = {name: PICTURES.get(name, "grace_hopper.jpg") for name in NAMES}
    return {"blueprints": pictures, "catalogue": catalogue}


def test_the_files_are_what_the_table_says():
    """`python dev.py blueprints` writes them."""
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == texts()


def test_comfyui_lists_all_of_them(server):
    listed = server.get("/global_subgraphs").values()
    ours = {each["name"] for each in listed if each["info"]["node_pack"] == "custom_nodes.image-prompt"}
    assert ours == {each.name for each in BLUEPRINTS}


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda each: each.name)
def test_values_fit_their_inputs(blueprint):
    """Those that are not the defaults, and what is promoted."""
    infos = {info["name"]: inputs_of(info) for info in node_infos()}
    for node in blueprint.nodes.values():
        for name, value in node.values.items():
            kind, options = infos[node.type][name]
            assert kind != "COMBO" or name == "face_pack" or value in options["options"], name
    for node, name in blueprint.promoted.values():
        assert name in infos[blueprint.nodes[node].type]


@pytest.mark.parametrize("name", NAMES)
def test_a_blueprint_runs_with_what_is_set_outside(seen, server, name):
    found = seen[name]
    assert found["title"] == name
    (blueprint,) = (each for each in BLUEPRINTS if each.name == name)
    expected = {
        outside: blueprint.nodes[node].values.get(input) for outside, (node, input) in blueprint.promoted.items()
    }
    assert {key: found["values"][key] for key, value in expected.items() if value is not None} == {
        key: value for key, value in expected.items() if value is not None
    }
    inside = blueprint.nodes[blueprint.promoted[found["weight"]][0]].type
    queued = ran(server, found["ended"])["prompt"][2].values()
    assert 0.25 in [node["inputs"]["weight"] for node in queued if node["class_type"] == inside]
