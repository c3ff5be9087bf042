"""Prompts of old files and of client programs are as ComfyUI expects them before it checks them."""

import copy
import logging
from types import SimpleNamespace

import pytest

from image_prompt.nodes.compat import prompts
from image_prompt.nodes.compat.inputs import (
    ATTN_MASK,
    IMAGE,
    START_AT,
    WEIGHT,
    WEIGHT_TYPE,
    Input,
    choice,
    optional,
    switch,
)
from image_prompt.nodes.compat.node import Node, Output, node_class
from image_prompt.nodes.compat.prompts import mended


def apply(self):
    return ()


def row(id: str, *inputs: Input) -> Node:
    return Node(id, id, inputs, (Output("MODEL"),), apply, "Use another.")


FILE = Input("ipadapter_file", lambda: ["first.bin"])
SIMPLE = choice("weight_type", "standard", "style transfer")
ROWS = {
    "IPAdapterAdvanced": row(
        "IPAdapterAdvanced", IMAGE, WEIGHT, WEIGHT_TYPE, switch("expand", True), ATTN_MASK, optional(START_AT)
    ),
    "IPAdapter": row("IPAdapter", IMAGE, SIMPLE),
    "IPAdapterModelLoader": row("IPAdapterModelLoader", FILE),
    "IPAdapterEncoder": row("IPAdapterEncoder", IMAGE, WEIGHT),
    "ImagePromptEncoderV1": row("ImagePromptEncoderV1", switch("ipadapter_plus", False)),
}
LINK = ["1", 0]


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    """Let these nodes be the registered ones; the list can be emptied."""
    rows = dict(ROWS)
    monkeypatch.setattr(prompts, "compat_rows", lambda: rows)
    return rows


def node(id: str, **inputs: object) -> dict:
    return {"class_type": id, "inputs": inputs}


def after(id: str, **inputs: object) -> dict:
    return mended({"prompt": {"1": node(id, **inputs)}})["prompt"]["1"]


def test_absent_values_are_the_defaults_and_given_ones_stay():
    assert after("IPAdapterAdvanced", image=LINK, weight=0.3)["inputs"] == {
        "image": LINK,
        "weight": 0.3,
        "weight_type": "linear",
        "expand": True,
    }


def test_a_link_into_a_value_stays():
    assert after("IPAdapterAdvanced", image=LINK, weight=LINK, weight_type=["2", 1])["inputs"]["weight_type"] == [
        "2",
        1,
    ]


@pytest.mark.parametrize("name", ["image", "attn_mask", "weight", "expand"])
def test_null_is_as_good_as_absent(name):
    given = {"image": LINK, "weight": 0.3}
    assert after("IPAdapterAdvanced", **given | {name: None}) == after(
        "IPAdapterAdvanced", **{key: value for key, value in given.items() if key != name}
    )


def test_which_file_to_load_is_not_guessed():
    assert after("IPAdapterModelLoader")["inputs"] == {}


@pytest.mark.parametrize(
    ("id", "old", "new"),
    [
        ("IPAdapterAdvanced", "style transfer (SDXL)", "style transfer"),
        ("IPAdapterAdvanced", "composition (SDXL)", "composition"),
        ("IPAdapterAdvanced", "style transfer and composition", "style and composition"),
        ("IPAdapter", "style transfer (SDXL only)", "style transfer"),
        ("IPAdapter", "composition (SDXL)", "composition (SDXL)"),  # which it never had
        ("IPAdapterAdvanced", "strong middle", "strong middle"),
        ("IPAdapterAdvanced", "anything", "anything"),
    ],
)
def test_old_weight_types_have_todays_names(id, old, new):
    assert after(id, image=LINK, weight_type=old)["inputs"]["weight_type"] == new


@pytest.mark.parametrize("given", ["linear", "style transfer (SDXL)", None])
def test_a_weight_type_of_any_time_is_accepted(given):
    assert node_class(ROWS["IPAdapterAdvanced"], "").VALIDATE_INPUTS(weight_type=given) is True


@pytest.mark.parametrize("given", ["style transfer (SDXL) ", "standard", "", 3, {"a": 1}, ["linear"]])
def test_another_weight_type_is_refused_in_words(given):
    answer = node_class(ROWS["IPAdapterAdvanced"], "").VALIDATE_INPUTS(weight_type=given)
    assert str(answer).startswith(f"The weight_type is {given!r}: choose one of linear, ease in,")


def test_the_encoder_of_old_is_told_by_its_input():
    old = after("IPAdapterEncoder", clip_vision=LINK, image_1=LINK)
    assert old == node("ImagePromptEncoderV1", clip_vision=LINK, image_1=LINK, ipadapter_plus=False)
    assert after("IPAdapterEncoder", image=LINK)["class_type"] == "IPAdapterEncoder"


@pytest.mark.parametrize("given", [{}, {"inputs": None}, {"inputs": {}}, {"inputs": []}])
def test_a_node_without_inputs_gets_them(given):
    request = mended({"prompt": {"1": {"class_type": "IPAdapter", **given}}})
    assert request["prompt"]["1"] == node("IPAdapter", weight_type="standard")


def test_the_prompt_stays_the_same_object():
    """What other handlers keep of it is what runs."""
    prompt = {"1": node("IPAdapter")}
    assert mended({"prompt": prompt})["prompt"] is prompt


FOREIGN = {"1": node("KSampler", image=None, weight_type="composition (SDXL)"), "2": node("IPAdapterUnknown")}


def test_nodes_of_others_are_left_as_they_are():
    assert mended({"prompt": copy.deepcopy(FOREIGN)}) == {"prompt": FOREIGN}


def test_nothing_is_mended_if_another_pack_has_these_nodes(rows):
    rows.clear()
    prompt = {"1": node("IPAdapterEncoder", image_1=LINK, mask=None)}
    assert mended({"prompt": copy.deepcopy(prompt)}) == {"prompt": prompt}


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        {"prompt": None},
        {"prompt": [1]},
        {"prompt": {"1": None, "2": {}, "3": {"class_type": ["IPAdapter"]}, "4": {"class_type": None}}},
        {"prompt": {"1": {"class_type": "IPAdapter", "inputs": [1]}}},
    ],
)
def test_what_is_no_prompt_is_left_to_comfyui(request_, caplog):
    assert mended(copy.deepcopy(request_)) == request_
    assert not caplog.messages


def test_what_cannot_be_mended_does_not_end_the_prompt(caplog):
    class Inputs(dict):
        def get(self, *_):
            raise RuntimeError

    with caplog.at_level(logging.WARNING):
        request = mended({"prompt": {"1": {"class_type": "IPAdapter", "inputs": Inputs()}, "2": node("IPAdapter")}})
    assert request["prompt"]["2"]["inputs"] == {"weight_type": "standard"}
    assert caplog.messages == ["A node of a prompt was not mended."]


def test_the_server_hands_prompts_over(monkeypatch):
    handlers = []
    monkeypatch.setattr(prompts, "prompt_server", lambda: SimpleNamespace(add_on_prompt_handler=handlers.append))
    prompts.register_prompt_mender()
    assert handlers == [mended]
