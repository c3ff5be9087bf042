"""Each example workflow exists twice, for the browser (UI format) and for the queue (API format): both say the same."""

import json
from pathlib import Path

import pytest

from image_prompt.devtools.stages import ROOT
from image_prompt.devtools.workflows import declared, is_widget, nodes_of, to_api
from image_prompt.model_files.catalogue import Catalogue

FOLDER = ROOT / "example_workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
MODEL_INPUTS = {"ckpt_name", "encoder_name", "adapter_name", "control_net_name"}
MODEL_INPUTS |= {"unet_name", "clip_name", "clip_name1", "clip_name2", "vae_name"}
OF_THE_BASE_MODEL = {"checkpoints", "diffusion_models", "text_encoders", "vae"}  # of which the catalogue has none
DIRECTORIES = {"clip_vision", "ipadapter", "controlnet"} | OF_THE_BASE_MODEL
OWN_FILES = {"image", "features_name", "library"}  # inputs that name what a user has
GROWING = "COMFY_AUTOGROW_V3"


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture
def ui(name) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.fixture
def api(name) -> dict:
    return json.loads((FOLDER / "api" / f"{name}.json").read_text())


def sockets(info: dict, connected: int) -> dict[str, str]:
    """The sockets of a node, {name: type}. One that grows has a socket for each link, and a free one."""
    found: dict[str, str] = {}
    for name, (kind, *rest) in declared(info).items():
        if kind == GROWING:
            template = rest[0]["template"]
            (each,) = template["input"]["required"].values()
            found |= {f"{name}.{template['prefix']}{number}": each[0] for number in range(connected + 1)}
        elif not is_widget(kind):
            found[name] = kind
    return found


def test_every_example_exists_twice():
    assert NAMES == sorted(path.stem for path in (FOLDER / "api").glob("*.json"))
    assert len(NAMES) == 16


def test_ui_and_api_format_agree(ui, api, object_info):
    assert to_api(ui, object_info) == api


def test_sockets_are_those_of_the_nodes(ui, object_info):
    for node in nodes_of(ui):
        info = object_info[node["type"]]
        grown = sum("." in slot["name"] and slot["link"] is not None for slot in node["inputs"])
        kinds = {name: kind.split(",") for name, kind in sockets(info, grown).items()}  # some take several
        saved = {slot["name"]: slot["type"] for slot in node["inputs"]}
        assert saved.keys() == kinds.keys() and all(saved[name] in kinds[name] for name in saved), node["type"]
        outputs = list(zip(info["output_name"], info["output"]))
        assert [(slot["name"], slot["type"]) for slot in node["outputs"]] == outputs, node["type"]


def test_links_match_the_slots_at_both_ends(ui):
    nodes = {node["id"]: node for node in ui["nodes"]}
    for link, source, output, target, slot, kind in ui["links"]:
        assert link in nodes[source]["outputs"][output]["links"]
        assert nodes[target]["inputs"][slot]["link"] == link
        assert nodes[source]["outputs"][output]["type"] == nodes[target]["inputs"][slot]["type"] == kind


def test_choices_are_offered_by_the_nodes(api, object_info):
    """The nodes offer every choice in the workflows, except the files of the user."""
    for node in api.values():
        for name, (kind, *rest) in declared(object_info[node["class_type"]]).items():
            options = kind if isinstance(kind, list) else (rest[0] if rest else {}).get("options")
            if options and name in node["inputs"] and name not in MODEL_INPUTS | OWN_FILES:
                assert node["inputs"][name] in options, (node["class_type"], name)


def test_every_model_file_says_where_it_comes_from(ui, api):
    models = {model["name"]: model for node in ui["nodes"] for model in node["properties"].get("models", [])}
    files = {value for node in api.values() for key, value in node["inputs"].items() if key in MODEL_INPUTS}
    assert set(models) == files
    for model in models.values():
        assert model["url"].startswith("https://huggingface.co/") and model["directory"] in DIRECTORIES
        assert Path(model["url"]).suffix == Path(model["name"]).suffix


def test_published_files_are_those_of_the_catalogue(ui):
    """The catalogue has all of them but the base models, and the hashes of those files that say theirs."""
    entries = {entry.url: entry for entry in Catalogue.load().entries}
    models = [model for node in ui["nodes"] for model in node["properties"].get("models", [])]
    for model in (model for model in models if model["directory"] not in OF_THE_BASE_MODEL):
        entry = entries[model["url"]]
        said = {"hash_type": "SHA256", "hash": entry.sha256} if entry.sha256 else {}
        assert {key: value for key, value in model.items() if key.startswith("hash")} == said
        assert model["name"] in entry.files


def test_the_note_names_every_file(ui):
    (note,) = (node["widgets_values"][0] for node in ui["nodes"] if node["type"] == "MarkdownNote")
    for node in ui["nodes"]:
        for model in node["properties"].get("models", []):
            assert f"models/{model['directory']}/{model['name']}" in note


def test_the_note_says_where_a_face_pack_comes_from_and_for_what_it_is(ui):
    """ComfyUI downloads no archives."""
    (note,) = (node["widgets_values"][0] for node in ui["nodes"] if node["type"] == "MarkdownNote")
    packs = [node["widgets_values"][0] for node in ui["nodes"] if node["type"] == "ImagePromptFaceAnalyserLoader"]
    for entry in (entry for pack in packs for entry in Catalogue.load().entries if entry.id == pack):
        assert f"models/insightface/models/{entry.id}/" in note and entry.url in note and "research only" in note
    assert ("pip install onnxruntime" in note) == bool(packs)
