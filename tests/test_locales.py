"""The words in English and Chinese are complete, and those of the nodes are what their schemas say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from image_prompt.devtools.locales import ENGLISH, FOLDER, as_json, inputs_of, node_infos, schema_words
from image_prompt.nodes.compat.node import subcategory
from image_prompt.nodes.compat.table import PACKS

FILES = ("main", "nodeDefs", "settings", "commands")  # those that ComfyUI reads
LANGUAGES = ("en", "zh")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SYNTAX = re.compile(r"[@{}|%]")  # of vue-i18n, which reads names and descriptions, but not tooltips
PLACEHOLDER = re.compile(r"\{\w+\}")
SAID = re.compile(r"\bsay\(\s*'([\w.]+)'")
KEY = re.compile(r"'([a-z_]+\.[\w.]+)'")  # of a sentence, if its feature has any
PART = re.compile(r"\bsay\(\s*`\$\{\w+\}(\.\w+)`")  # of the feature that a variable names
GROUP = re.compile(r"\bsay\(\s*`([\w.]+\.)\$\{")  # one of several sentences
ALIKE = {"CLIP", "ControlNet", "DINO", "IPAdapter", "Latent", "SigLIP", "VAE"}  # names in Chinese texts too
LISTS_OF_NAMES = {  # of files, of models and of formats
    "adapter_name",
    "dtype",
    "encoder_name",
    "face_pack",
    "features_name",
    "folder",
    "library",
    "provider",
    "variant",
}

Words = dict[str, Any]


def read(language: str, name: str) -> Words:
    path = FOLDER / language / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def flat(words: Words, *above: str) -> dict[str, str]:
    """Every sentence, by its path."""
    found = {}
    for key, value in words.items():
        found |= flat(value, *above, key) if isinstance(value, dict) else {".".join((*above, key)): value}
    return found


def without_options(words: Words) -> dict[str, str]:
    return {key: value for key, value in flat(words).items() if ".options." not in key}


ENGLISH_WORDS, CHINESE_WORDS = (without_options(read(language, "nodeDefs")) for language in LANGUAGES)


def test_the_english_words_are_those_of_the_schemas():
    """`python dev.py locales` writes them."""
    assert ENGLISH.read_text(encoding="utf-8") == as_json(schema_words())


def test_every_node_input_and_output_has_chinese_words_and_nothing_else_has():
    assert CHINESE_WORDS.keys() == flat(schema_words()).keys()


def test_chinese_words_are_chinese():
    found = {key: words for key, words in CHINESE_WORDS.items() if not CHINESE.search(words)}
    assert {key: words for key, words in found.items() if not key.endswith("name") or words not in ALIKE} == {}


def test_chinese_words_name_the_numbers_that_the_english_name():
    """A sentence that has changed in one language alone is often found by them."""

    def numbers(words: dict[str, str]) -> dict[str, set[str]]:
        return {key: {*NUMBER.findall(each)} for key, each in words.items() if not key.endswith("name")}

    found, expected = numbers(CHINESE_WORDS), numbers(ENGLISH_WORDS)
    assert {key: missing for key, each in found.items() if (missing := expected[key] - each)} == {}


def test_every_choice_has_a_chinese_word():
    """The value that is sent stays English."""
    translated = read("zh", "nodeDefs")
    for info in node_infos():
        combos = {name: each["options"] for name, (kind, each) in inputs_of(info).items() if kind == "COMBO"}
        words = translated[info["name"]]["inputs"].items()
        found = {name: sorted(each["options"]) for name, each in words if "options" in each}
        assert found == {name: sorted(each) for name, each in combos.items() if name not in LISTS_OF_NAMES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_hold_no_syntax_of_messages(language):
    read_as_messages = ("display_name", "description", ".name")
    found = flat(read(language, "nodeDefs")).items()
    assert [key for key, words in found if key.endswith(read_as_messages) and SYNTAX.search(words)] == []


@pytest.mark.parametrize("name", FILES)
def test_both_languages_say_the_same_things(name):
    sentences = without_options if name == "nodeDefs" else flat
    english, chinese = (sentences(read(language, name)) for language in LANGUAGES)
    assert chinese.keys() == english.keys()
    placeholders = {key: sorted(PLACEHOLDER.findall(words)) for key, words in english.items()}
    assert {key: sorted(PLACEHOLDER.findall(words)) for key, words in chinese.items()} == placeholders


def test_every_category_has_words():
    own = {info["category"] for info in node_infos()}
    others = {subcategory(row.pack) for pack in PACKS for row in pack.rows}
    parts = {part for category in own | others for part in category.split("/")}
    for language in LANGUAGES:
        assert read(language, "main")["nodeCategories"].keys() == parts


def test_the_scripts_have_the_sentences_that_they_say_and_no_others():
    scripts = [*Path(FOLDER.parent, "js").rglob("*.js"), *Path(FOLDER.parent, "js").rglob("*.mjs")]
    text = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
    there = flat(read("en", "main")["imagePrompt"]).keys()  # and another test compares the languages
    features = {key.split(".")[0] for key in there}
    said = {key for key in KEY.findall(text) if key.split(".")[0] in features} | {*SAID.findall(text)}
    groups, parts = tuple(GROUP.findall(text)), tuple(PART.findall(text))
    assert sorted(said - there) == []
    assert sorted(key for key in there - said if not key.startswith(groups) and not key.endswith(parts)) == []
    assert [group for group in groups if not any(key.startswith(group) for key in there)] == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_words_are_sorted(path):
    assert path.name in {f"{name}.json" for name in FILES}
    words = json.loads(path.read_text(encoding="utf-8"))
    features = words.pop("imagePrompt", {})  # whose sentences are in the order in which they are met
    assert [json.dumps(part) for part in words.values()] == [
        json.dumps(part, sort_keys=True) for part in words.values()
    ]
    assert list(features) == sorted(features)
