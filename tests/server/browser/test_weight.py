"""The bar of a weight shows 0 to 1, takes what lies outside, and is gone where views are switched off."""

SCENARIO = "weight"


def test_the_mouse_sets_a_weight_between_0_and_1(seen):
    assert (seen["dragged"], seen["beyond"]) == (0.3, 1)


def test_keys_go_beyond_1_and_each_is_a_step_of_undo(seen):
    assert seen["keys"] == {"weight": 1.06, "outside": "above"}
    assert seen["undone"] == 1.05


def test_a_weight_that_is_typed_stays(seen):
    assert seen["typed"] == {"weight": -0.5, "outside": "below"}
    assert seen["saved"] == [-0.5, 0, 1, "together", "all"]  # and nothing of the bar
    assert seen["loaded"] == -0.5


def test_views_can_be_switched_off(seen):
    assert seen["hidden"] == 0
