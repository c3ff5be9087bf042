"""In Chinese a node, its tooltips, its category, its choices and its help page are Chinese, and runs are as ever."""

import json
import re

from image_prompt.devtools.comfyui import Server
from image_prompt.devtools.locales import FOLDER

from .test_templates import ran

SCENARIO = "chinese"
WORDS = json.loads((FOLDER / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
MAIN = json.loads((FOLDER / "zh" / "main.json").read_text(encoding="utf-8"))
ENCODE, WEIGHTS = WORDS["ImagePromptEncode"], WORDS["ImagePromptLayerWeights"]
PRESET = "falling"


def task(server: Server, object_info: dict) -> dict:
    nodes = {
        "encode": {"type": "ImagePromptEncode"},
        "weights": {"type": "ImagePromptLayerWeights", "pos": [500, 0], "inputs": {"preset": PRESET}},
        "text": {"type": "PreviewAny", "pos": [1000, 0], "inputs": {"source": ["weights", 1]}},
    }
    return {"nodes": nodes, "title": ENCODE["display_name"]}


def test_a_node_is_chinese(seen):
    inputs = ("clip_vision", "image", "mask", "crop")
    words = [ENCODE["display_name"], *(ENCODE["inputs"][name]["name"] for name in inputs)]
    words += [ENCODE["inputs"]["crop"]["options"]["center"], ENCODE["outputs"]["1"]["name"]]
    assert [word for word in words if word not in seen["texts"]] == []


def test_tooltips_and_categories_are_chinese(seen):
    assert seen["tooltip"] == ENCODE["inputs"]["crop"]["tooltip"]
    assert seen["category"] == MAIN["nodeCategories"]["image prompt"]


def test_the_help_page_is_chinese(seen):
    page = (FOLDER.parent / "js" / "docs" / "ImagePromptEncode" / "zh.md").read_text(encoding="utf-8")
    lines = [re.sub(r"^(- |#+ )|[*`]", "", line) for line in page.splitlines() if line and line[0] not in "|!"]
    assert [line for line in lines if line not in seen["help"]] == []


def test_a_run_sends_english_values(seen, server):
    (sent,) = (
        node["inputs"]
        for node in ran(server, seen["ended"])["prompt"][2].values()
        if node["class_type"] == "ImagePromptLayerWeights"
    )
    assert sent["preset"] == PRESET


def test_choices_are_shown_in_chinese(seen):
    assert sorted(seen["choices"]) == sorted(WEIGHTS["inputs"]["preset"]["options"].values())


def test_nothing_of_the_pack_complains(seen):
    assert seen["complaints"] == []


def test_the_english_words_of_settings_and_commands_are_those_of_the_scripts(seen):
    """And test_locales.py finds those that Chinese lacks."""
    for kind in ("settings", "commands"):
        path = FOLDER / "en" / f"{kind}.json"
        words = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        assert words == {each["id"].replace(".", "_"): each["words"] for each in seen[kind]}
    categories = {part for each in seen["settings"] for part in each["category"][:-1]}
    assert sorted(MAIN["settingsCategories"]) == sorted(categories)
