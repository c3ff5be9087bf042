"""The bars of Layer Weights in a browser: what they write, and what they show."""

from .test_templates import ran

SCENARIO = "layer_weights"
DRAWN = "0:1, 1:1, 2:1, 3:1, 4:1, 5:1, 6:1, 7:1"
STYLE = "0:1, 1:1, 13:1, 14:1, 15:1"
SAVED = ["values", "linear", 1, 0, "0:0.5, 15:2", "blocks"]


def test_a_new_node_shows_all_and_holds_what_it_held_without_a_view(seen):
    assert (seen["model"], seen["fresh"], seen["hovered"]) == ("SD1.5", ["all", ""], "output 11 · style · 1")


def test_bars_are_drawn_and_moved(seen):
    assert seen["drawn"] == ["values", DRAWN]
    assert seen["kind"] == ["values", "0:0.5, 1:0.5, 2:0.5, 3:0.5, 4:0.5, 5:0.5, 6:1, 7:1"]
    assert seen["double"] == ["values", "0:0.5, 1:0.5, 2:0.5, 3:1, 4:0.5, 5:0.5, 6:1, 7:1"]
    assert seen["keys"] == ["values", "0:0.5, 1:0.5, 2:0.5, 3:1, 4:0.61, 5:0.5, 6:1, 7:1"]
    assert seen["wheel"] == ["values", "0:0.5, 1:0.5, 2:0.5, 3:1, 4:0.58, 5:0.5, 6:1, 7:1"]


def test_an_edit_is_one_step_of_undo(seen):
    assert seen["before wheel"] == seen["keys"]
    assert seen["before keys"] == ["values", "0:0.5, 1:0.5, 2:0.5, 3:1, 4:0.5, 5:0.5, 6:1, 7:1"]
    assert seen["before double"] == seen["kind"]
    assert (seen["before kind"], seen["before drawn"]) == (seen["drawn"], seen["fresh"])


def test_a_preset_is_where_drawing_starts_and_puts_what_was_drawn_aside(seen):
    assert (seen["from a preset"], seen["another preset"]) == (["values", STYLE], ["precise style", ""])
    assert seen["back again"] == seen["from a preset"]


def test_a_text_that_is_wrong_stays_and_is_marked(seen):
    assert (seen["bad"], seen["problem"][:22]) == (["values", "1, two, 3"], "'two' is no weight: wr")


def test_the_values_are_copied_saved_and_run(seen, server):
    assert (seen["copied"], seen["saved"], seen["loaded"]) == (SAVED, SAVED, ["values", "0:0.5, 15:2"])
    queued = next(node for node in ran(server, seen["ended"])["prompt"][2].values() if "preset" in node["inputs"])
    names = ("preset", "curve", "first", "last", "values", "index")
    assert queued["inputs"] == dict(zip(names, SAVED, strict=True))


def test_after_a_run_the_bars_are_those_of_the_connected_model(seen, server):
    ran(server, seen["again"])
    assert seen["ran"] == seen["undone"] == "SDXL"


def test_another_model_that_is_connected_goes_before_that_of_the_last_run(seen):
    assert seen["replaced"] == "SD1.5"
