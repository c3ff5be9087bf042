"""`search --fuse`: one question to two libraries of the same pictures."""

import json
import shutil

import pytest
from squares import draw, fill

from image_prompt.references.library import libraries_folder


@pytest.fixture(scope="session")
def made_other(tmp_path_factory, encoders, drawn):
    """A library of the same pictures, of the CLIP with other weights."""
    folder = tmp_path_factory.mktemp("made") / "other"
    fill(folder, drawn, encoders / "other.safetensors")
    return folder


@pytest.fixture
def other(library, comfyui, made_other, encoders):
    """That library beside the one called squares, and its encoder."""
    shutil.copy(encoders / "other.safetensors", comfyui / "models/clip_vision")
    return shutil.copytree(made_other, libraries_folder(comfyui / "user") / "other")


ASKED = ("--text", "a red square")


def ranks(found: dict) -> dict[str, int]:
    return {hit["path"]: hit["rank"] for hit in found["hits"]}


def scores(found: dict) -> dict[str, float]:
    return {hit["path"]: hit["score"] for hit in found["hits"]}


@pytest.mark.parametrize("kind", ["text", "image"])
def test_pictures_are_ranked_by_their_ranks_in_both_libraries(other, told, drawn, kind):
    asked = ASKED if kind == "text" else ("--image", drawn / "blue.png")
    one, two = (told("search", name, *asked) for name in ("squares", "other"))
    fused = told("search", "squares", "--fuse", "other", *asked)
    a, b = ranks(one), ranks(two)
    assert a != b
    expected = sorted(a, key=lambda path: (-(1 / (60 + a[path]) + 1 / (60 + b[path])), a[path]))
    assert [hit["path"] for hit in fused["hits"]] == expected and [hit["rank"] for hit in fused["hits"]] == [
        *range(1, 6)
    ]
    for hit in fused["hits"]:
        path = hit["path"]
        assert hit["score"] == pytest.approx(1 / (60 + a[path]) + 1 / (60 + b[path]), abs=1e-6)
        assert hit["standings"] == [
            {"library": "squares", "rank": a[path], "score": scores(one)[path]},
            {"library": "other", "rank": b[path], "score": scores(two)[path]},
        ]
        assert hit["file"] == str(drawn / path) and hit["library"] == "squares"
    assert fused["query"] == one["query"]
    assert [each["library"] for each in fused["libraries"]] == ["squares", "other"]
    assert [each["space"] for each in fused["libraries"]] == [one["space"], two["space"]]


def test_both_scores_and_ranks_are_shown(other, call, told):
    (hit,) = told("search", "squares", "--fuse", "other", *ASKED, "-k", 1)["hits"]
    code, out, said = call("search", "squares", "--fuse", "other", *ASKED, "-k", 1)
    assert (code, said) == (0, "")
    a, b = hit["standings"]
    first, second = out.splitlines()[:2]
    assert first.split() == [f"{hit['score']:.4f}", hit["path"]]
    assert second.strip() == (f"squares: rank {a['rank']}, {a['score']:.4f}; other: rank {b['rank']}, {b['score']:.4f}")


def test_a_minimum_is_of_the_first_library_and_a_folder_of_both(other, told):
    one = told("search", "squares", *ASKED)["hits"]
    limit = one[1]["score"] - 1e-4
    fused = told("search", "squares", "--fuse", "other", *ASKED, "--minimum", limit)["hits"]
    assert {hit["path"] for hit in fused} == {hit["path"] for hit in one[:2]}
    assert all(hit["standings"][1]["rank"] for hit in fused)
    below = told("search", "squares", "--fuse", "other", *ASKED, "--folder", "more")["hits"]
    assert [(hit["path"], [each["rank"] for each in hit["standings"]]) for hit in below] == [("more/green.png", [1, 1])]


def test_a_picture_of_one_library_only_is_found_with_one_rank(other, told, call, tmp_path, comfyui, encoders, drawn):
    third = libraries_folder(comfyui / "user") / "third"
    link = tmp_path / "linked"
    link.symlink_to(drawn)
    fill(third, link / "more", encoders / "other.safetensors")  # the same file by another way
    found = told("search", "squares", "--fuse", "third", *ASKED)["hits"]
    standings = {hit["path"]: hit["standings"][1]["rank"] for hit in found}
    assert standings == {"red.png": None, "blue.png": None, "yellow.png": None, "white.png": None, "more/green.png": 1}
    assert "third: not found" in call("search", "squares", "--fuse", "third", *ASKED)[1]
    assert str(drawn / "red.png") in call("search", "third", "--fuse", "squares", *ASKED)[1]
    turned = told("search", "third", "--fuse", "squares", *ASKED)["hits"]
    by_path = {hit["path"]: hit for hit in turned}
    assert by_path["green.png"]["library"] == "third" and by_path["red.png"]["library"] == "squares"


def test_libraries_without_a_common_picture_are_refused(library, call, comfyui, encoders, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    draw(elsewhere / "red.png", "red")  # of the same name
    fill(libraries_folder(comfyui / "user") / "elsewhere", elsewhere, encoders / "tiny.safetensors")
    code, out, said = call("search", "squares", "--fuse", "elsewhere", *ASKED)
    assert (code, out) == (1, "")
    assert said.startswith("The libraries 'squares' and 'elsewhere' have no picture in common: the same files have to")


def test_three_libraries_are_fused(other, told, comfyui, made_other):
    shutil.copytree(made_other, libraries_folder(comfyui / "user") / "again")
    two = told("search", "other", "--fuse", "again", *ASKED)["hits"]
    assert [hit["path"] for hit in two] == [hit["path"] for hit in told("search", "other", *ASKED)["hits"]]
    three = told("search", "squares", "--fuse", "other", "--fuse", "again", *ASKED)["hits"]
    assert three[0]["score"] == pytest.approx(sum(1 / (60 + each["rank"]) for each in three[0]["standings"]), abs=1e-6)
    assert len(three[0]["standings"]) == 3


def test_encoders_are_given_in_the_order_of_the_libraries(other, told, call, encoders, comfyui):
    (comfyui / "models/clip_vision/other.safetensors").unlink()
    code, _, said = call("search", "squares", "--fuse", "other", *ASKED)
    assert code == 1 and "The library 'other' was made with" in said
    tiny, own = encoders / "tiny.safetensors", encoders / "other.safetensors"
    assert told("search", "squares", "--fuse", "other", *ASKED, "--encoder", tiny, "--encoder", own)["hits"]
    code, _, said = call("search", "squares", "--fuse", "other", *ASKED, "--encoder", own, "--encoder", tiny)
    assert code == 1 and "The library 'squares' was made with" in said and "with other weights" in said
    code, out, _ = call("search", "squares", *ASKED, "--encoder", tiny, "--encoder", own, "--json")
    assert code == 1 and json.loads(out)["error"].startswith("--encoder is given 2 times for 1 library")


def test_a_library_is_not_fused_with_itself_or_an_unknown_one(library, call):
    code, _, said = call("search", "squares", "--fuse", "squares", *ASKED)
    assert code == 1 and said.strip() == "The library 'squares' is given twice: --fuse takes another one."
    code, _, said = call("search", "squares", "--fuse", "square", *ASKED)
    assert code == 1 and "There is no library 'square'. Did you mean 'squares'?" in said
