"""The references panel also shows libraries of pictures, which it only reads."""

from image_prompt.devtools.comfyui import Server

from ..library_of_pictures import NAME, PATHS, put_library

SCENARIO = "libraries"
FOUND = {"id": 1, "score": 0.28149, "width": 8, "height": 4, "rating": 1, "kind": "image", "text": "", "state": "0"}


def task(server: Server, object_info: dict) -> dict:
    put_library(server)
    return {"library": NAME, "paths": PATHS, "found": FOUND | {"input": ""}}


def test_a_library_is_chosen_beside_saved_features(seen):
    assert seen["offered"][0] == "Saved features" and f"{NAME} ({len(PATHS)})" in seen["offered"]


def test_its_newest_pictures_come_first_with_thumbnails_and_nothing_to_delete(seen):
    assert seen["newest"] == PATHS and f"newest of {len(PATHS)}" in seen["note"]
    assert max(seen["thumbnail"]) > 32 and seen["icons"] == 0


def test_a_click_and_a_key_show_what_is_like_a_picture(seen):
    """The vectors of the library lie on an arc, in the order of the paths."""
    assert seen["like"] == PATHS and seen["focused"] == PATHS[0]
    assert seen["scores"][0].startswith("1.000 · ")
    assert seen["likeSecond"][0] == PATHS[1] and {*seen["likeSecond"][1:3]} == {PATHS[0], PATHS[2]}


def test_a_text_is_searched_or_what_is_missing_is_said(seen):
    assert "needs the text encoder of CLIP ViT-H/14" in seen["refused"]
    assert seen["asked"] == [{"library": NAME, "k": "60", "text": "a blue bicycle"}]
    assert seen["byText"] == ["0.281 · rated good · 8 × 4"]


def test_buttons_and_a_drag_put_a_picture_into_the_graph(seen):
    nearest = {"type": "ImagePromptNearestReference", "library": NAME, "k": 1}
    assert seen["inserted"] == [
        nearest | {"picture": PATHS[0]},
        {"type": "LoadImage", "image": PATHS[0]},
        nearest | {"picture": PATHS[1]},
    ]


def test_saved_features_are_shown_again(seen):
    assert seen["features"] == "Search by name or encoder"
