"""The commands with the folder of a Qwen3-VL where an encoder's file is taken."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from squares import picture_of
from tiny_qwen3_vl import CONFIG, write_json

from image_prompt.command_line.references.encoders import find
from image_prompt.command_line.references.vision_language import folder_of_library
from image_prompt.model_files.folders import Installation
from image_prompt.references.digests import sha256_of
from image_prompt.references.inputs import Input
from image_prompt.references.library import Library, Writer, libraries_folder
from image_prompt.references.space import Space
from image_prompt.references.vision_language import QUERY_INSTRUCTION, load_vision_language

SHORT = {"max_position_embeddings": 64}
WHOLE = Space("Qwen3-VL of 4 layers, 80 wide", 80, feature="last token")


@pytest.fixture(scope="session")
def encoder(qwen3_vl):
    with load_vision_language(qwen3_vl, "cpu") as encoder:
        yield encoder


@pytest.fixture(scope="session")
def vectors(encoder, drawn) -> dict[str, np.ndarray]:
    """{path: the vector of a picture}, whole, of length 1."""
    files = sorted(drawn.rglob("*.png"))
    made = encoder.embed_images(files).vectors.numpy()
    return {path.relative_to(drawn).as_posix(): row for path, row in zip(files, made, strict=True)}


@pytest.fixture
def make_library(comfyui, drawn, vectors, encoder):
    """Make a library of some numbers of the vectors, in a space of its own."""

    def make_library(name: str, feature: str = "last token", dimension: int = 80, **about: str) -> Path:
        folder = libraries_folder(comfyui / "user") / name
        rows = np.stack([row[:dimension] for row in vectors.values()])
        space = Space(encoder.space.encoder, dimension, encoder.space.weights, feature)
        with Writer.open(folder, space, **about) as writer:
            pictures = [picture_of(drawn, drawn / path) for path in vectors]
            writer.add(pictures, rows / np.linalg.norm(rows, axis=1, keepdims=True))
        return folder

    return make_library


def scores(found: dict) -> dict[str, float]:
    return {hit["path"]: hit["score"] for hit in found["hits"]}


def cosines(query, vectors, dimension: int = 80) -> dict[str, float]:
    def cosine(a, b):
        a, b = a[:dimension].astype(float), b[:dimension].astype(float)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return {path: cosine(query.vectors.numpy()[0], row) for path, row in vectors.items()}


def test_a_folder_is_embedded_and_its_library_finds_the_model_again(told, call, drawn, qwen3_vl, encoder, vectors):
    made = told("embed", drawn, "--library", "vlm", "--encoder", qwen3_vl)
    assert (made["pictures"], made["added"], made["failed"]) == (5, 5, [])
    found = told("search", "vlm", "--text", "a red square")
    assert found["space"] == encoder.space.as_json()
    query = encoder.embed([Input("a red square")], instruction=QUERY_INSTRUCTION)
    assert scores(found) == pytest.approx(cosines(query, vectors), abs=2e-3)
    document = cosines(encoder.embed([Input("a red square")]), vectors)
    assert scores(found) != pytest.approx(document, abs=2e-3)  # pictures were embedded without that instruction
    by_picture = told("search", "vlm", "--image", drawn / "red.png")
    query = encoder.embed([Input(image=drawn / "red.png")], instruction=QUERY_INSTRUCTION)
    assert scores(by_picture) == pytest.approx(cosines(query, vectors), abs=2e-3)
    again = told("embed", drawn, "--library", "vlm")  # with the library's own
    assert (again["unchanged"], again["added"]) == (5, 0)


def test_two_libraries_of_clip_and_of_a_vision_language_model_are_fused(library, told, make_library, qwen3_vl):
    make_library("vlm", encoder_path=str(qwen3_vl))
    asked = ("--text", "a blue square")
    ranks = [{hit["path"]: hit["rank"] for hit in told("search", name, *asked)["hits"]} for name in ("squares", "vlm")]
    fused = told("search", "squares", "--fuse", "vlm", *asked)["hits"]
    expected = {path: 1 / (60 + ranks[0][path]) + 1 / (60 + ranks[1][path]) for path in ranks[0]}
    assert scores({"hits": fused}) == pytest.approx(expected, abs=1e-6)
    assert fused[0]["standings"][1]["library"] == "vlm"


@pytest.mark.parametrize("feature, dimension, options", [("mean of tokens", 80, "mean"), ("last token", 64, "last")])
def test_a_library_is_searched_in_its_own_space(
    told, make_library, qwen3_vl, encoder, vectors, feature, dimension, options
):
    make_library("other", feature, dimension, encoder_path=str(qwen3_vl))
    found = told("search", "other", "--text", "red")
    assert (found["space"]["feature"], found["space"]["dimension"]) == (feature, dimension)
    read = encoder.read(Input("red"), QUERY_INSTRUCTION)
    query = SimpleNamespace(vectors=encoder.vector(read, options)[None])
    assert scores(found) == pytest.approx(cosines(query, vectors, dimension), abs=2e-3)


def test_similar_and_duplicates_take_the_folder(told, call, qwen3_vl, encoder, drawn, vectors):
    a, b = drawn / "red.png", "text:a red square"
    text = encoder.embed_texts(["a red square"]).vectors.numpy()[0]
    found = told("similar", a, b, "--encoder", qwen3_vl)
    assert found["cosine"] == pytest.approx(float(vectors["red.png"] @ text), abs=1e-4)
    assert found["encoder"] == str(qwen3_vl)
    assert "numbers of its own" in call("similar", a, b, "--encoder", qwen3_vl)[1]
    groups = told("duplicates", drawn, "--encoder", qwen3_vl, "--threshold", 0.1)["groups"]
    assert {path for group in groups for path in (group["kept"], *group["others"])} == set(vectors)


def test_what_is_longer_than_the_model_reads_is_told(make_library, call, qwen3_vl, tmp_path):
    short = tmp_path / "short"
    shutil.copytree(qwen3_vl, short, copy_function=os.symlink)
    (short / "config.json").unlink()
    write_json(short / "config.json", {**CONFIG, "text_config": CONFIG["text_config"] | SHORT})
    make_library("vlm", encoder_path=str(short))
    code, out, said = call("search", "vlm", "--text", "square " * 80, "-k", 1)
    assert code == 0 and out and said.strip() == "The input is longer than 64 tokens; the rest is not seen."
    assert call("search", "vlm", "--text", "square " * 8, "-k", 1)[2] == ""


def test_an_encoder_of_another_space_is_refused(library, make_library, call, drawn, qwen3_vl, encoders):
    code, out, said = call("search", "squares", "--text", "red", "--encoder", qwen3_vl)
    assert (code, out) == (1, "")
    assert "was made with CLIP ViT 64x2/8 (16 numbers)" in said and "Qwen3-VL of 4 layers, 80 wide (80 numbers" in said
    make_library("vlm", encoder_path=str(qwen3_vl))
    code, _, said = call("search", "vlm", "--image", drawn / "red.png", "--encoder", encoders / "tiny.safetensors")
    assert code == 1 and "was made with Qwen3-VL of 4 layers, 80 wide (80 numbers, last token)" in said


def test_what_is_no_model_is_said(call, tmp_path, qwen3_vl):
    code, _, said = call("similar", "red", "blue", "--encoder", tmp_path)
    assert code == 1 and "is a folder without the config.json of a model" in said
    code, _, said = call("similar", "red", "blue", "--encoder", qwen3_vl / "model.safetensors")
    assert code == 1 and "is a part of the vision-language model in" in said


# -------------------------------------------------------------------------------------------------------- finding again


@pytest.fixture
def where(comfyui) -> Installation:
    return Installation.find(str(comfyui), [], True)


def model(folder: Path, layers: int = 4) -> Path:
    """A folder that says to be a Qwen3-VL. It is not loaded here."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", CONFIG | {"layers": layers})
    return folder


def known(path: object = "", digest: str = "") -> SimpleNamespace:
    return SimpleNamespace(name="vlm", space=WHOLE, encoder_path=str(path), encoder_sha256=digest)


def test_the_folder_that_was_recorded_comes_first(comfyui, where, tmp_path):
    here = model(comfyui / "models/text_encoders/Qwen/Qwen3-VL-Embedding-2B")
    elsewhere = model(tmp_path / "elsewhere")
    assert find(None, where, known(elsewhere)) == elsewhere
    shutil.rmtree(elsewhere)
    assert find(None, where, known(elsewhere)) == here


def test_of_several_folders_the_one_with_the_same_files_is_taken(comfyui, where):
    folders = comfyui / "models/text_encoders"
    two, eight = model(folders / "a-2B"), model(folders / "b-8B", 8)
    assert sha256_of(two) != sha256_of(eight)
    assert folder_of_library(known("/gone", sha256_of(eight)), where) == eight
    assert folder_of_library(known("/gone", sha256_of(two)), where) == two
    assert folder_of_library(known(), where) == two
    assert find("b-8B", where) == eight


def test_models_in_the_cache_of_hugging_face_are_found_by_their_name(where, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    cached = model(tmp_path / "hub/models--Qwen--Qwen3-VL-Embedding-2B/snapshots/0123abcd")
    assert find("Qwen3-VL-Embedding-2B", where) == cached
    assert folder_of_library(known(), where) == cached


def test_a_model_that_is_nowhere_is_named(where):
    with pytest.raises(ValueError, match="The library 'vlm' was made with Qwen3-VL of 4 layers, 80 wide .* no folder"):
        find(None, where, known("/gone"))


def test_a_library_records_the_folder_and_none_for_a_file(told, make_library, comfyui, drawn, qwen3_vl):
    told("embed", drawn, "--library", "clip")
    about = json.loads((libraries_folder(comfyui / "user") / "clip/library.json").read_text())
    assert set(about) == {"format", "space", "encoder_sha256"}
    folder = make_library("vlm", encoder_path=str(qwen3_vl), encoder_sha256="00ff")
    with Library.open(folder) as library:
        assert (library.encoder_path, library.encoder_sha256) == (str(qwen3_vl), "00ff")
