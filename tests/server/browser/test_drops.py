"""A picture that is dropped on a node arrives loaded and wired, in both renderers."""

SCENARIO = "drops"
PICTURE, ENCODE, REFERENCE = "LoadImage", "ImagePromptEncode", "ImagePromptReference"
VISION = "ImagePromptLoadEncoder"


def encoded(picture: str) -> dict:
    return {"types": [ENCODE, PICTURE], "picture": picture, "vision": VISION}


def test_a_file_is_loaded_and_wired(seen):
    assert seen["encode"] == {"image": {"types": [PICTURE], "picture": "one.png"}}


def test_a_drop_is_one_step_of_undo(seen):
    assert seen["undone"] == {}


def test_another_picture_takes_the_place_of_the_first(seen):
    assert seen["again"] == {"picture": {"image": {"types": [PICTURE], "picture": "two.png"}}, "nodes": 1}


def test_pictures_are_encoded_by_the_encoder_of_the_others(seen):
    assert seen["combine"] == {
        "features_1": encoded("two.png"),
        "features_2": encoded("here/made.png [output]"),
        "features_3": encoded("three.png"),
        "features_4": encoded("four.png"),
    }


def test_a_picture_becomes_a_reference(seen):
    (found,) = seen["references"].values()
    assert found == {"types": [REFERENCE, ENCODE, PICTURE], "picture": "grace_hopper.jpg", "vision": VISION}
    assert sorted(seen["selected"]) == sorted([PICTURE, ENCODE, REFERENCE])


def test_new_nodes_cover_no_others(seen):
    assert seen["covered"] == []


def test_what_is_no_picture_or_is_switched_off_is_left_to_comfyui(seen):
    assert seen["refused"] == [False, False, False, 0]
