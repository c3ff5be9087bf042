"""Encode Image Prompt shows what the encoder will see, in both renderers, and a square is placed by hand."""

import pytest

from image_prompt.clip_vision import crop_box, read_box
from image_prompt.nodes.encoding.encode import CROP_CHOICES

from .test_templates import ran

SCENARIO = "encode"
PICTURE, HEIGHT, WIDTH = "grace_hopper.jpg", 600, 512
BOX = "-0.05, 0.02, 0.6"
SAID = {
    "pad": "all 512 × 600 pixels, between bars",
    "squash": "all 512 × 600 pixels",
    "mask": "The crop is mask, and no mask is connected.",
    "tiles": "6 squares of 256 × 256 of 512 × 600 pixels",
}


def task(server, object_info) -> dict:
    size = {"picture": PICTURE, "height": HEIGHT, "width": WIDTH}
    return {**size, "encoder": "demo-encoder.safetensors", "box": BOX, "crops": CROP_CHOICES}


def edges(box):
    return crop_box(HEIGHT, WIDTH, read_box(box))


def test_it_is_said_of_every_crop_what_will_be_seen(seen):
    assert seen["crops"] == {crop: SAID.get(crop, "512 × 512 of 512 × 600 pixels") for crop in CROP_CHOICES}


def test_a_wire_to_an_input_that_the_crop_does_not_read_hides_nothing(seen):
    assert seen["wired"]["pad"] == SAID["pad"] and seen["wired"]["tiles"] != SAID["tiles"]


def test_the_square_that_was_shown_is_dragged(seen):
    """By 50 pixels to the right, and as many up to the upper edge, which attracts it."""
    scale, crop, box = seen["moved"]
    found = edges(box)
    assert (crop, found.top, found.bottom) == ("box", 0, 512)
    assert found.left == pytest.approx(50, abs=1 / scale)


def test_a_drag_is_undone_in_one_step(seen):
    assert seen["undone"] == ["center", ""]


def test_keys_move_and_resize_the_square(seen):
    crop, box = seen["pressed"]
    side = 512 / 1.05
    expected = (10.24 + (512 - side) / 2, 5.12 + (512 - side) / 2, side)
    found = edges(box)
    assert crop == "box" and (found.top, found.left, found.bottom - found.top) == pytest.approx(expected, abs=1.5)


def test_a_corner_resizes_the_square(seen):
    scale, crop, box = seen["resized"]
    found = edges(box)
    assert (crop, found.top, found.left) == ("box", 0, 0) and found.bottom == pytest.approx(356, abs=1 / scale + 1)


def test_a_text_that_is_no_box_stays_and_is_marked_and_refused(seen):
    words, *values = seen["bad"]
    assert values == ["box", "wide"] and words.startswith("box is not left, top and side")
    (error,) = seen["refused"]["node_errors"][str(seen["id"])]["errors"][:1]
    assert "The box is 'wide': give left, top and side" in error["details"]


def test_the_server_receives_the_box_and_gives_what_was_seen(seen, server):
    queued = ran(server, seen["ended"])["prompt"][2][str(seen["id"])]["inputs"]
    assert (queued["crop"], queued["box"]) == ("box", BOX) and not any("view" in name for name in queued)
    after = seen["after"]
    assert after["asked"] == {"crop": "box", "background": "black", "box": BOX}
    assert (after["height"], after["width"], after["count"]) == (HEIGHT, WIDTH, 1)


def test_what_was_seen_is_shown_while_the_inputs_are_those_of_the_run(seen):
    assert (seen["changed"], seen["back"]) == ("preview", "seen")


def test_what_is_copied_saved_and_loaded_keeps_the_box(seen):
    assert (seen["copied"]["crop"], seen["copied"]["box"]) == ("box", BOX)
    assert seen["saved"][-1] == BOX and "box" in seen["saved"][0]
    assert (seen["loaded"]["crop"], seen["loaded"]["box"]) == ("box", BOX)
