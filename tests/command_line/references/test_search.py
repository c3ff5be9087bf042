"""`search`, `similar`, `advise` and `rate`: what they find, what they say, and what they refuse."""

import itertools
import os

import pytest
import torch
from PIL import Image
from squares import tiny_clip
from transformers import CLIPImageProcessor, CLIPTokenizer


def rows(found: dict) -> list[tuple[int, str]]:
    return [(hit["rank"], hit["path"]) for hit in found["hits"]]


# ------------------------------------------------------------------------------------------------------------- search


def test_a_picture_finds_itself_first(library, told, call, drawn):
    found = told("search", "squares", "--image", drawn / "blue.png", "-k", 3)
    assert found["hits"][0]["path"] == "blue.png" and found["hits"][0]["score"] == pytest.approx(1, abs=2e-3)
    assert found["hits"][0]["file"] == str(drawn / "blue.png")
    assert found["hits"][0]["metadata"]["model"] == "cold.safetensors" and "raw" not in found["hits"][0]["metadata"]
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["query"] == {"image": str(drawn / "blue.png")} and found["space"]["dimension"] == 16
    code, out, said = call("search", "squares", "--image", drawn / "blue.png", "-k", 3)
    assert (code, said) == (0, "")
    score, path = out.splitlines()[0].split()
    assert (path, float(score)) == ("blue.png", pytest.approx(found["hits"][0]["score"], abs=1e-4))
    assert "cold.safetensors, LoRA ink.safetensors 0.8, euler normal, 20 steps, CFG 6" in " ".join(out.split())
    assert "%" not in out


def test_a_text_finds_pictures_by_falling_scores(library, told):
    found = told("search", "squares", "--text", "a red square")["hits"]
    scores = [hit["score"] for hit in found]
    assert len(found) == 5 and scores == sorted(scores, reverse=True)
    some = told("search", "squares", "--text", "a red square", "--minimum", scores[1] - 1e-4)["hits"]
    assert [hit["path"] for hit in some] == [hit["path"] for hit in found[:2]]
    below = told("search", "squares", "--text", "a red square", "--folder", "more")
    assert rows(below) == [(1, "more/green.png")]


def test_nothing_found_is_said(library, call):
    code, out, _ = call("search", "squares", "--text", "red", "--minimum", 1)
    assert code == 0 and out.strip() == "The library 'squares' has no picture with a score of 1 or more."


def test_a_long_text_is_searched_by_its_beginning_and_that_is_said(library, call):
    code, out, said = call("search", "squares", "--text", "square " * 90)
    assert code == 0 and out and said.strip() == "The text is longer than 77 tokens; the rest is not seen."


def test_an_unknown_library_names_the_known_ones(call, library):
    code, _, said = call("search", "square", "--text", "red")
    assert code == 1 and said.strip() == "There is no library 'square'. Did you mean 'squares'? Known are: squares."
    code, _, said = call("search", "../squares", "--text", "red")
    assert code == 1 and "cannot be the name of a library" in said


def test_without_any_library_it_says_how_to_make_one(call):
    code, _, said = call("search", "squares", "--text", "red")
    assert code == 1 and "`embed FOLDER --library NAME` makes one" in said


def test_the_encoder_of_another_library_is_refused_with_both(library, call, encoders):
    code, _, said = call("search", "squares", "--text", "red", "--encoder", encoders / "other.safetensors")
    assert code == 1
    assert "was made with CLIP ViT 64x2/8 (16 numbers)" in said and "with other weights" in said


def test_the_library_finds_its_own_encoder_among_others_of_the_same_name(library, told, comfyui, encoders, drawn):
    folder = comfyui / "models/clip_vision"
    (folder / "tiny.safetensors").rename(folder / "z.safetensors")
    (folder / "a.safetensors").write_bytes((encoders / "other.safetensors").read_bytes())
    assert rows(told("search", "squares", "--image", drawn / "red.png"))[0] == (1, "red.png")


def test_an_encoder_that_is_gone_is_named(library, call, comfyui):
    (comfyui / "models/clip_vision/tiny.safetensors").unlink()
    code, _, said = call("search", "squares", "--text", "red")
    assert code == 1 and "was made with CLIP ViT 64x2/8 (16 numbers), and no file of that encoder was found" in said


def test_a_text_needs_the_text_half_and_a_picture_does_not(library, call, told, comfyui, encoders, drawn):
    half = encoders / "image half.safetensors"
    assert rows(told("search", "squares", "--image", drawn / "red.png", "--encoder", half))[0] == (1, "red.png")
    code, _, said = call("search", "squares", "--text", "red", "--encoder", half)
    assert code == 1 and "encodes pictures only, so no text compares with them. A full CLIP file" in said
    place = comfyui / "models/clip_vision"
    (place / "tiny.safetensors").unlink()
    (place / "half.safetensors").write_bytes(half.read_bytes())
    code, _, said = call("search", "squares", "--text", "red")
    assert code == 1 and "half.safetensors encodes pictures only" in said


# ------------------------------------------------------------------------------------------------------------ similar


@torch.no_grad()
def test_similar_gives_the_cosines_of_transformers(told, call, drawn, encoders):
    model = tiny_clip()
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    image = processor(Image.open(drawn / "red.png").convert("RGB"), return_tensors="pt")["pixel_values"]
    tokenizer = CLIPTokenizer.from_pretrained(f"{os.environ['COMFYUI_PATH']}/comfy/sd1_tokenizer")
    ids = tokenizer("red square", return_tensors="pt").input_ids
    witness = {
        "text:red square": model.text_projection(model.text_model(ids).pooler_output),
        str(drawn / "red.png"): model.visual_projection(model.vision_model(image).pooler_output),
    }
    for a, b in itertools.combinations_with_replacement(witness, 2):
        told_here = told("similar", a, b)
        expected = float(torch.nn.functional.cosine_similarity(witness[a], witness[b]))
        assert told_here["cosine"] == pytest.approx(expected, abs=0.02)
        assert told_here["space"]["encoder"] == "CLIP ViT 64x2/8"
    code, out, said = call("similar", a, b)
    assert (code, said) == (0, "") and float(out.split()[0]) == pytest.approx(told_here["cosine"], abs=1e-4)
    assert "%" not in out


def test_similar_needs_an_encoder(call, comfyui):
    (comfyui / "models/clip_vision/tiny.safetensors").unlink()
    code, _, said = call("similar", "red", "blue")
    assert code == 1 and said.startswith("No image encoder was found. Give one with --encoder FILE.")


# ----------------------------------------------------------------------------------------------------- rate and advise


def test_ratings_are_kept_and_advice_counts_what_they_were_made_with(library, told, call, drawn):
    assert told("rate", "squares", "red.png", drawn / "yellow.png", 1)["rating"] == 1
    code, out, _ = call("rate", "squares", "blue.png", "-1")
    assert code == 0 and out.strip() == "blue.png: bad"
    advice = told("advise", "squares")
    assert (advice["pictures"], advice["described"], advice["query"]) == (2, 2, {})
    topics = {topic["name"]: topic for topic in advice["topics"]}
    (model,) = topics["model"]["values"]
    assert (model["value"], model["count"], model["liked"]) == ("warm.safetensors", 2, 2)
    assert sorted(model["sources"]) == ["red.png", "yellow.png"]
    (lora,) = topics["loras"]["values"]
    assert (lora["value"], lora["count"]) == ("ink.safetensors", 2)
    assert lora["weights"] == pytest.approx([0.4, 0.6, 0.8])
    assert {each["value"] for each in topics["cfg"]["values"]} == {"6", "4.5"}

    near = told("advise", "squares", "--image", drawn / "red.png", "-k", 5)
    assert (near["pictures"], near["described"]) == (4, 2)  # the bad one is left out, two say nothing
    code, out, said = call("advise", "squares", "--image", drawn / "red.png", "-k", 5)
    text = " ".join(out.split())
    assert (code, said) == (0, "")
    assert text.startswith(
        "Nearest pictures that are not rated bad: 4. Of these say what made them: 2. These are counts, not rules."
    )
    assert "LoRAs (of 2) 2 ink.safetensors, weight 0.4 to 0.8, median 0.6, 2 rated good" in text


def test_advice_is_of_as_many_pictures_as_were_asked_for_without_the_bad_ones(library, told, drawn):
    red = ("--image", drawn / "red.png")
    nearest = told("search", "squares", *red, "-k", 1)["hits"][0]["path"]
    told("rate", "squares", nearest, "-1")
    assert told("advise", "squares", *red, "-k", 3)["pictures"] == 3
    sources = {path for topic in told("advise", "squares", *red, "-k", 3)["topics"] for path in _sources(topic)}
    assert sources and nearest not in sources


def _sources(topic: dict) -> list[str]:
    return [path for value in topic["values"] for path in value["sources"]]


def test_no_rating_is_given_if_one_picture_is_unknown(library, told, call):
    code, _, said = call("rate", "squares", "red.png", "rod.png", 1)
    assert code == 1 and "has no picture 'rod.png'. Did you mean 'red.png'?" in said
    assert {hit["rating"] for hit in told("search", "squares", "--text", "red")["hits"]} == {0}
    assert call("rate", "squares", "red.png", 2)[0] == 2
    code, _, said = call("rate", "squares", "../outside.png", 1)
    assert code == 1 and "has no picture '../outside.png'" in said
