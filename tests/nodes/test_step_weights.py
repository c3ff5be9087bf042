"""The node for weights over steps: what its inputs mean, and what it shows."""

import pytest

from image_prompt.ip_adapter import parse_step_weights, step_curve, step_table
from image_prompt.nodes.controls import step_weights
from image_prompt.nodes.controls.step_weights import ImagePromptStepWeights


def run(**inputs):
    return ImagePromptStepWeights.execute(**inputs).args


@pytest.mark.parametrize(
    "inputs, value",
    [
        ({}, parse_step_weights("1")),
        ({"first": -0.5}, parse_step_weights("-0.5")),
        ({"curve": "linear"}, step_curve("linear", 1.0, 0.0)),
        (
            {"curve": "hold", "first": 0.2, "last": 2.0, "curve_start": 0.1, "curve_end": 0.4},
            step_curve("hold", 0.2, 2.0, 0.1, 0.4),
        ),
        ({"curve": "keyframes", "keyframes": "0:1 ease in, 0.5:0"}, parse_step_weights("0:1 ease in, 0.5:0")),
        ({"curve": "keyframes", "keyframes": "1\n0:0, 1:1\n"}, parse_step_weights("1\n0:0, 1:1")),
    ],
)
def test_the_output_says_what_the_inputs_say(inputs, value):
    weights, table = run(**inputs)
    assert weights == value
    assert table.split("\n\n")[1] == step_table(value)


def test_it_shows_the_keyframes_of_the_first_pictures(monkeypatch):
    shown = []
    monkeypatch.setattr(step_weights, "show", lambda text, node: shown.append(text))
    run(curve="ease in", last=0.25, curve_end=0.5)
    for count in (8, 9):
        run(curve="keyframes", keyframes="\n".join(f"0:{n}, 1:0" for n in [1] * count))
    assert shown[0] == "0:1 ease in, 0.5:0.25"
    assert shown[1].split("\n") == ["0:1, 1:0"] * 8
    assert shown[2].split("\n") == ["0:1, 1:0"] * 7 + ["and 2 more"]
