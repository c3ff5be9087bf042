"""The node for weights over steps: what its inputs mean, and what it shows."""

import json
from pathlib import Path

import pytest

from image_prompt.ip_adapter import parse_step_weights, step_curve, step_table
from image_prompt.nodes.controls import step_weights
from image_prompt.nodes.controls.step_weights import ImagePromptStepWeights

SHARED = Path(__file__).parents[1] / "scripts" / "step_weights" / "curves.json"  # by which the script is tested too
TABLE = json.loads(SHARED.read_text(encoding="utf-8"))
REFUSED = {  # what is wrong -> what the message says
    "keyframe": "no keyframe|not one weight|a comma without a keyframe|The step weight is",
    "comma": "There is no comma between",
    "curve": "There is no curve",
    "point": "The point of a keyframe is",
    "number": "The step weight at ",
    "order": "write keyframes in the order of sampling",
    "leads": "The last keyframe has the curve",
}


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


@pytest.mark.parametrize("case", [*TABLE["curves"], *TABLE["texts"]], ids=lambda case: case.get("text"))
def test_the_weights_are_those_that_the_script_draws(case):
    if "text" in case:
        weights, expected = parse_step_weights(case["text"]), case["weights"]
    else:
        weights = step_curve(case["curve"], case["first"], case["last"], case["start"], case["end"])
        expected = [case["weights"]]
    found = [[course.at(point) for point in TABLE["points"]] for course in weights.courses]
    assert found == [pytest.approx(each, abs=1e-6) for each in expected]


@pytest.mark.parametrize("case", TABLE["bad"], ids=lambda case: repr(case["text"]))
def test_what_the_script_marks_is_refused(case):
    with pytest.raises(ValueError, match=REFUSED[case["problem"]]):
        parse_step_weights(case["text"])
