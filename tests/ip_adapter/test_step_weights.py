"""Weights over the steps of sampling, against numbers written out here and against PyTorch's interpolation."""

import pytest
import torch

from image_prompt.ip_adapter import (
    ALWAYS,
    CURVES,
    Course,
    Keyframe,
    StepWeights,
    parse_step_weights,
    step_curve,
    step_table,
    step_text,
)


def course(text):
    (found,) = parse_step_weights(text).courses
    return found


MIDDLE = {  # a quarter and half of the way from 0 to 1
    "linear": (0.25, 0.5),
    "hold": (0.0, 0.0),
    "ease in": (0.0625, 0.25),
    "ease out": (0.4375, 0.75),
    "ease in-out": (0.15625, 0.5),
}


@pytest.mark.parametrize("curve", CURVES)
def test_a_curve_leads_from_one_keyframe_to_the_next(curve):
    found = Course(keyframes=(Keyframe(0.25, 2.0, curve), Keyframe(0.75, -2.0)))
    quarter, half = MIDDLE[curve]
    assert found.at(0.25) == 2.0 and found.at(0.75) == -2.0
    assert found.at(0.375) == pytest.approx(2.0 - 4.0 * quarter)
    assert found.at(0.5) == pytest.approx(2.0 - 4.0 * half)


def test_before_the_first_and_after_the_last_keyframe_their_weights_hold():
    found = Course(keyframes=(Keyframe(0.25, 2.0, "ease in"), Keyframe(0.75, -2.0, "ease in")))
    assert [found.at(at) for at in (0.0, 0.249, 0.751, 1.0)] == [2.0, 2.0, -2.0, -2.0]
    assert [Course(keyframes=(Keyframe(0.5, 0.3),)).at(at) for at in (0.0, 0.5, 1.0)] == [0.3] * 3
    assert ALWAYS.at(0.7) == 1.0


def test_linear_keyframes_are_those_of_pytorch():
    values = torch.tensor([0.3, -1.0, 2.0, 2.0, 0.0])
    expected = torch.nn.functional.interpolate(values[None, None], 101, mode="linear", align_corners=True)[0, 0]
    found = course(", ".join(f"{n / 4}:{value}" for n, value in enumerate(values.tolist())))
    torch.testing.assert_close(torch.tensor([found.at(n / 100) for n in range(101)]), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "text, keyframes",
    [
        ("0.8", [(0.0, 0.8, "linear")]),
        ("0:1.0, 0.3:0.2", [(0.0, 1.0, "linear"), (0.3, 0.2, "linear")]),
        (" .1 : -1  ease  in ,1:5\n", [(0.1, -1.0, "ease in"), (1.0, 5.0, "linear")]),
        ("0:1 hold,0.5:0 ease in-out,1:1", [(0.0, 1.0, "hold"), (0.5, 0.0, "ease in-out"), (1.0, 1.0, "linear")]),
    ],
)
def test_keyframes_are_read_from_text(text, keyframes):
    assert course(text) == Course(keyframes=tuple(Keyframe(*each) for each in keyframes))


def test_every_line_is_the_course_of_a_picture():
    found = parse_step_weights("0:1, 1:0\n0.5\r\n0:0 hold, 0.5:1\n")
    assert found.courses == (course("0:1, 1:0"), course("0.5"), course("0:0 hold, 0.5:1"))


@pytest.mark.parametrize("curve", CURVES)
def test_a_curve_is_two_keyframes(curve):
    found = step_curve(curve, 1.0, -0.5, 0.2, 0.7)
    assert found == StepWeights((Course(keyframes=(Keyframe(0.2, 1.0, curve), Keyframe(0.7, -0.5))),))
    assert parse_step_weights(f"0.2:1 {curve}, 0.7:-0.5") == found


def test_the_text_says_the_same_weights():
    found = StepWeights(
        (
            Course(keyframes=(Keyframe(0.1 + 0.2, 1 / 3, "ease in"), Keyframe(1.0, 1e-7))),
            *step_curve("hold", 1.0, 0.0).courses,
            *step_curve("linear", 2.0, 0.5).courses,
        )
    )
    assert parse_step_weights(step_text(found)) == found
    assert step_text(found).splitlines()[1:] == ["0:1 hold, 1:0", "0:2, 1:0.5"]
    assert step_text(StepWeights()) == "1"


def test_the_table_has_a_line_for_each_tenth():
    assert step_table(step_curve("ease in", 1.0, 0.0)).splitlines()[:3] == [
        "picture     all",
        "0.0       1.000",
        "0.1       0.990",
    ]
    rows = step_table(parse_step_weights("0:1, 1:0\n-0.25")).splitlines()
    assert rows[0] == "picture       1       2" and rows[-1] == "1.0       0.000  -0.250" and len(rows) == 12


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "The step weight is '': it must be a number between -5 and 5, such as 0.5."),
        ("full", "The step weight is 'full'"),
        ("0:1, 0.5", "'0.5' is no keyframe: write keyframes as point:weight with commas between them, such as"),
        ("1,0.5", "'1,0.5' is not one weight: write one number for all of sampling, or keyframes as point:weight"),
        ("1 0.5", "'1 0.5' is not one weight"),
        ("0:1 0.5:0", "There is no comma between the keyframes in '0:1 0.5:0': write keyframes as point:weight with"),
        ("0:1 ease in 0.5:0", "There is no comma between the keyframes in '0:1 ease in 0.5:0'"),
        ("0:1,", "There is a comma without a keyframe before or after it: write all keyframes of a picture in one l"),
        ("0:1,\n0.5:0", "Line 1: There is a comma without a keyframe before or after it"),
        ("0:1, 1.01:0", "The point of a keyframe is '1.01': it must be a number between 0 and 1"),
        ("-0.1:1", "The point of a keyframe is '-0.1'"),
        ("nan:1", "The point of a keyframe is 'nan'"),
        ("0:nan", "The step weight at 0 is 'nan'"),
        ("0.5:inf", "The step weight at 0.5 is 'inf'"),
        ("0:6", "The step weight at 0 is '6': it must be a number between -5 and 5"),
        ("0:1:2", "The step weight at 0 is '1:2'"),
        ("0:1 2", "There is no curve '2': choose one of linear, hold, ease in, ease out, ease in-out."),
        ("0:1 bounce, 1:0", "There is no curve 'bounce': choose one of linear"),
        ("0.5:1, 0.3:0", "A keyframe at 0.3 comes after one at 0.5: write keyframes in the order of sampling"),
        ("0:1, 0.5:1, 0.3:0", "A keyframe at 0.3 comes after one at 0.5"),
        ("0.5:1, 0.50:0", "A keyframe at 0.5 comes after one at 0.5: write keyframes"),
        ("0:1, 1:0 ease in", "The last keyframe has the curve 'ease in', and there is none to which it leads: write a"),
        ("0:1 linear", "The last keyframe has the curve 'linear'"),
        ("1\n\n0.5", "Line 2: The step weight is ''"),
        ("0:1\n0:1, 2:1", "Line 2: The point of a keyframe is '2'"),
        ("0:1, 0.2:1\n0:1, 0:1", "Line 2: A keyframe at 0 comes after one at 0"),
    ],
)
def test_a_text_that_is_no_course_is_refused(text, message):
    with pytest.raises(ValueError) as refusal:
        parse_step_weights(text)
    assert str(refusal.value).startswith(message)


def test_a_curve_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no curve 'bounce': choose one of linear, hold"):
        step_curve("bounce", 1.0, 0.0)
    for start, end in ((0.5, 0.5), (0.6, 0.5), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match=f"starts at {start:g} and ends at {end:g}: it must start before it ends"):
            step_curve("linear", 1.0, 0.0, start, end)


def test_equal_step_weights_are_one_value():
    assert len({parse_step_weights("0:1, 0.5:0"), parse_step_weights("0: 1.0, .5: 0"), StepWeights()}) == 2
