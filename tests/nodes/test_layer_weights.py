"""The node for layer weights: what it says about a model, and what it shows."""

import json
from itertools import groupby
from pathlib import Path

import pytest
import tiny

from image_prompt.ip_adapter import APPLIED_TO, CurveWeights, PresetWeights, layer_table, parse_layer_weights
from image_prompt.ip_adapter.layers import by_name
from image_prompt.nodes.applying.hosts.unet import cross_attentions
from image_prompt.nodes.controls import layer_weights
from image_prompt.nodes.controls.blocks import published_parts
from image_prompt.nodes.controls.layer_weights import ImagePromptLayerWeights

SHARED = Path(__file__).parents[1] / "scripts" / "layer_weights" / "values.json"  # by which the script is tested too
TABLE = json.loads(SHARED.read_text(encoding="utf-8"))
PARTS = {title: (base, blocks) for title, base, blocks in published_parts()}
REFUSED = {  # what is wrong -> what the message says
    "number": "it must be a number between -5 and 5",
    "pair": "is not number:weight",
    "twice": "has two layer weights",
    "count": "layer weights, ",
    "outside": "There is a weight for number ",
}


def run(**inputs):
    return ImagePromptLayerWeights.execute(**inputs).args


@pytest.mark.parametrize(
    "inputs, value",
    [
        ({}, PresetWeights("all")),
        ({"preset": "precise style"}, PresetWeights("precise style")),
        (
            {"preset": "curve", "curve": "ease in", "first": 0.5, "last": 2.0},
            CurveWeights("ease in", 0.5, 2.0, "blocks"),
        ),
        ({"preset": "curve", "index": "layers"}, CurveWeights("linear", 1.0, 0.0, "layers")),
        ({"preset": "values", "values": "1, 0, -1"}, parse_layer_weights("1,0,-1")),
        ({"preset": "values", "values": "12:1", "index": "layers"}, parse_layer_weights("12:1", "layers")),
        ({"preset": "style", "values": " \n"}, PresetWeights("style")),
    ],
)
def test_the_output_says_what_the_inputs_say(inputs, value):
    assert run(**inputs)[0] == value


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_the_table_is_that_of_the_connected_model(base):
    model = tiny.unet(base)
    blocks = [block for block, _ in cross_attentions(model.model.diffusion_model)]
    weights, table = run(preset="style", model=model)
    assert table == f"{base}\n{layer_table(weights.shares(blocks, base), blocks)}"
    tables = [part.splitlines() for part in run(preset="curve", model=tiny.flux())[1].split("\n\n")]
    (flux,) = (table for table in tables if len(table) == 20)  # that of adapters which act in the double blocks alone
    assert (flux[1], flux[10], flux[19]) == ("double 0   1.000", "double 9   0.500", "double 18  -")


def test_the_node_tells_the_blocks_of_the_connected_model():
    given = ImagePromptLayerWeights.execute(preset="style", model=tiny.unet("SDXL")).ui["image_prompt_layer_weights"]
    assert [(part["title"], len(part["blocks"])) for part in given] == [("SDXL", 11)]
    assert ImagePromptLayerWeights.execute().ui == {"image_prompt_layer_weights": []}


def test_without_a_model_it_shows_those_that_the_weights_fit(monkeypatch):
    shown = []
    monkeypatch.setattr(layer_weights, "show", lambda text, node: shown.append(text))
    shown_bases = [part.split("\n")[0] for part in run()[1].split("\n\n")]
    assert shown_bases[:2] == ["SD1.5", "SDXL"] and {base.split(" (")[0] for base in shown_bases} == {*APPLIED_TO} - {
        "Kolors",
        "Chroma",
    }  # which are like SDXL and Flux
    table = run(preset="style")[1].split("\n\n")
    assert [part.split("\n")[0] for part in table[:2]] == ["SD1.5", "SDXL"]
    assert table[2] == (
        "The preset 'style' is for SD1.5, SDXL, Kolors, the model is Flux: choose all, first half, second half, middle "
        "half, falling, rising, there and back, or a curve or values in Image Prompt Layer Weights."
    )
    assert shown[1] == "SD1.5: input 1-2 = 1.000; output 9-11 = 1.000\nSDXL: output 1 = 1.000 x10"


@pytest.mark.parametrize("title", TABLE["models"])
def test_the_table_for_the_script_has_the_published_blocks(title):
    found = [(kind, len(layers)) for (kind, _), layers in by_name(PARTS[title][1]).items()]
    assert [[*block, len(list(alike))] for block, alike in groupby(found)] == TABLE["models"][title]


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: repr(case["text"][:30]))
def test_a_text_says_what_the_script_reads_in_it(case):
    base, blocks = PARTS[case["model"]]
    if "problem" in case:
        with pytest.raises(ValueError, match=REFUSED[case["problem"]]):
            parse_layer_weights(case["text"], case["by"]).shares(blocks, base)
    else:
        shares = parse_layer_weights(case["text"], case["by"]).shares(blocks, base)
        found = [
            shares[layer].amount if layer in shares else 0 for layers in by_name(blocks).values() for layer in layers
        ]
        assert found == [value for value, count in case["weights"] for _ in range(count)]
