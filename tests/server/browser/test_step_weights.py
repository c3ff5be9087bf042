"""The curve of Step Weights in a browser: what its points write, and what it shows."""

from .test_templates import ran

SCENARIO = "step_weights"
ENDS = [0.8, 0.1, 0.2, 0.7]
NAMES = ("curve", "first", "last", "curve_start", "curve_end", "keyframes")


def test_the_ends_of_a_curve_are_inputs(seen):
    assert seen["constant"] == ["constant", 0.6, 0, 0, 1, ""]
    assert seen["ends"] == ["ease in", *ENDS, ""]
    assert seen["hovered"] == "at 0.45: 0.625"  # 0.8 - 0.7 * 0.5**2


def test_keyframes_are_added_moved_and_removed(seen):
    assert seen["added"] == ["keyframes", *ENDS, "0.2:0.8 ease in, 0.4:0.3 ease in, 0.7:0.1"]
    assert seen["moved"][-1] == "0.2:0.8 ease in, 0.5:0.95 ease in, 0.7:0.1"
    assert seen["keys"][-1] == "0.2:0.8 ease in, 0.51:0.94 ease in, 0.7:0.1"
    assert (seen["out"][-1], seen["deleted"][-1]) == ("0.51:0.94 ease in, 0.7:0.1", "0.51:0.94")


def test_an_edit_is_one_step_of_undo(seen):
    assert (seen["before deleted"], seen["before out"]) == (seen["out"], seen["keys"])
    assert (seen["before keys"], seen["before moved"]) == (seen["moved"], seen["added"])
    assert (seen["before added"], seen["before ends"][:3]) == (seen["ends"], ["ease in", 0.8, 0])


def test_keyframes_begin_with_the_curve_and_are_put_aside(seen):
    first, last, start, end = seen["from a curve"][1:5]
    assert seen["from a curve"][-1] == f"{start:g}:{first:g} ease in, {end:g}:{last:g}"
    assert (seen["another curve"][0], seen["another curve"][-1]) == ("linear", "")
    assert seen["back again"] == seen["from a curve"]


def test_a_text_that_is_wrong_stays_and_is_marked(seen):
    assert seen["bad"][-1] == "0:1, 0.5;0"
    assert seen["problem"].startswith("'0.5;0' is no keyframe: write point:weight")


def test_the_picture_whose_line_is_pressed_is_edited(seen):
    assert seen["second picture"][-1] == "0:0, 1:1\n0:1 hold, 0.8:0.2\n0:0.5"


def test_the_values_are_copied_saved_and_run(seen, server):
    assert seen["copied"] == seen["saved"] == seen["second picture"]
    queued = next(node for node in ran(server, seen["ended"])["prompt"][2].values() if "keyframes" in node["inputs"])
    assert [queued["inputs"][name] for name in NAMES] == seen["saved"]
