"""Image Prompt Influence Map shows each reference's map over each picture, in both renderers, without a new run."""

import pytest

from image_prompt.demo.stand_ins import example

from .test_templates import SMALL, ran

SCENARIO = "influence_map"


def task(server, object_info) -> dict:
    graph = example("Influence_map_SD1.5", object_info, **SMALL)
    for node in graph["nodes"]:
        if node["type"] == "EmptyLatentImage":
            node["widgets_values"][2] = 2  # pictures
    return {"graph": graph}


def words(reference: dict, picture: int) -> str:
    return f"mean {reference['means'][picture]:.3f}, highest {reference['highests'][picture]:.3f}"


def test_before_a_run_it_says_what_will_be_there(seen):
    assert seen["before"] == "After a run: where each reference acted, over the pictures."


def test_the_live_picture_follows_the_sampler_and_shows_where_the_mask_is(seen):
    assert seen["live"] == [*range(1, SMALL["steps"] + 1)]
    for brightness in seen["last"]:  # the reference acts in the left half of each picture
        assert min(brightness[:4]) > 128 > 16 > max(brightness[4:])


def test_every_reference_and_picture_can_be_chosen(seen):
    references = seen["after"]["references"]
    assert seen["names"] == [each["name"] for each in references] == ["image prompt 1"]
    assert seen["pictures"] == ["picture 1", "picture 2"]
    assert seen["first"][0] == words(references[0], 0)
    assert seen["second"] == ["0", "1", words(references[0], 1)]  # the last of the references stays the last


def test_the_opacity_is_seen_at_once_and_is_that_of_the_input(seen):
    (_, covered), (opacity, clear) = seen["first"], seen["clear"]
    assert opacity == pytest.approx(0, abs=0.05) and clear != covered and clear[3] == 255
    assert seen["undone"] == [0.7, seen["first"][0]]


def test_core_shows_no_second_picture(seen):
    assert seen["own"] == 0


def test_what_is_saved_and_queued_is_what_it_was(seen, server):
    entry = ran(server, seen["ended"])
    queued = entry["prompt"][2][str(seen["id"])]["inputs"]
    assert {*queued} == {"influence", "latent", "image", "scale", "opacity"}
    assert len(entry["outputs"][str(seen["id"])]["images"]) == 2
    assert seen["saved"] == ["share of the maximum", 0.7]
    assert seen["loaded"]["opacity"] == 0.7
