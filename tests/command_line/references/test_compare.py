"""`compare`: the demo's CLIP and a Qwen3-VL on pictures of the demo's world, and what it refuses."""

import json
import shutil
from math import comb
from pathlib import Path

import numpy as np
import pytest
from squares import save, tiny_clip

from image_prompt.demo import full_clip
from image_prompt.demo.sheet import to_image
from image_prompt.demo.world import World, draw
from image_prompt.references.embedder import Embedder
from image_prompt.references.inputs import Input
from image_prompt.references.vision_language import QUERY_INSTRUCTION, load_vision_language

COUNT, SHAPES = 24, {"circle", "square", "triangle", "star", "cross", "ring"}


@pytest.fixture(scope="session")
def scenes():
    world = World(3)
    return [world.scene() for _ in range(COUNT)]


@pytest.fixture(scope="session")
def world(tmp_path_factory, scenes) -> Path:
    """Pictures in sub-folders of their colours, whose names say their shapes. Tests change nothing in it."""
    folder = tmp_path_factory.mktemp("world")
    for number, (scene, picture) in enumerate(zip(scenes, draw([(scene,) for scene in scenes]), strict=True)):
        place = folder / scene.colour / f"{number:02}_{scene.shape}.png"
        place.parent.mkdir(exist_ok=True)
        to_image(picture).save(place)
    return folder


@pytest.fixture(scope="session")
def demo_clip(tmp_path_factory) -> Path:
    models = tmp_path_factory.mktemp("demo")
    full_clip.write_full_clip(models)
    return models / full_clip.FILE


def recalls(embedder_of, texts, files, labels) -> dict[str, float]:
    """Recall by numpy. labels: {text: the label}, of the files by their order."""
    rows = embedder_of.embed_images([str(file) for file in files]).vectors.numpy().astype(np.float16).astype(float)
    of, firsts = np.array(labels), []
    for text, label in texts.items():
        if isinstance(embedder_of, Embedder):
            query = embedder_of.embed_texts([text])
        else:
            query = embedder_of.embed([Input(text)], instruction=QUERY_INSTRUCTION)
        order = (-(rows @ query.vectors.numpy()[0].astype(float))).argsort(kind="stable")
        firsts.append(int(np.flatnonzero(of[order] == label)[0]) + 1)
    return {str(k): round(float(np.mean([first <= k for first in firsts])), 6) for k in (1, 5, 10)}


def ways_of(told_here: dict) -> dict[str, dict]:
    return {way["way"]: way for way in told_here["ways"]}


def test_the_demos_clip_finds_the_colours_of_the_demos_world(told, world, demo_clip, scenes):
    found = told("compare", world, "--encoder", demo_clip, "--template", "a {} shape")
    (way,) = found["ways"]
    colours = sorted({scene.colour for scene in scenes})
    counts = {colour: sum(scene.colour == colour for scene in scenes) for colour in colours}
    assert found["labels"] == counts and found["pictures"] == COUNT and found["failed"] == []
    assert found["queries"] == [f"a {colour} shape" for colour in colours]
    files = sorted(world.rglob("*.png"))
    with Embedder(demo_clip, "cpu") as embedder:
        texts = {f"a {colour} shape": colour for colour in colours}
        assert way["recall"] == recalls(embedder, texts, files, [file.parent.name for file in files])
    expected = {k: np.mean([1 - comb(COUNT - n, k) / comb(COUNT, k) for n in counts.values()]) for k in (1, 5, 10)}
    assert found["chance"] == {str(k): pytest.approx(share, abs=1e-6) for k, share in expected.items()}
    assert way["recall"]["1"] >= 0.8 > 2 * found["chance"]["1"]  # measured: 1.0; that of a random order is 0.17
    assert set(way["first_ranks"]) == set(colours) and way["bytes"] == COUNT * 128 * 2
    assert way["milliseconds"]["picture"] > 0 and way["milliseconds"]["query"] > 0


def test_a_table_compares_two_encoders_and_their_fusion(told, call, world, demo_clip, qwen3_vl, scenes):
    asked = ("compare", world, "--encoder", demo_clip, "--encoder", qwen3_vl, "--max-pixels", 4096)
    asked += ("--pattern", r"_(\w+)\.", "--template", "a {}")
    found = told(*asked)
    ways = ways_of(found)
    assert list(ways) == ["demo_world", "Qwen3-VL-Embedding-Tiny", "fused"]
    assert set(found["labels"]) == {scene.shape for scene in scenes} <= SHAPES
    assert found["files"] == {"demo_world": str(demo_clip), "Qwen3-VL-Embedding-Tiny": str(qwen3_vl)}
    assert ways["fused"]["of"] == list(ways)[:2]
    assert ways["fused"]["bytes"] == sum(way["bytes"] for way in list(ways.values())[:2]) == COUNT * (128 + 80) * 2
    assert found["encoders"]["Qwen3-VL-Embedding-Tiny"]["feature"] == "last token"
    files = sorted(world.rglob("*.png"))
    shapes = [file.stem.partition("_")[2] for file in files]
    texts = {f"a {shape}": shape for shape in found["labels"]}
    with load_vision_language(qwen3_vl, "cpu", max_pixels=4096) as encoder:
        assert ways["Qwen3-VL-Embedding-Tiny"]["recall"] == recalls(encoder, texts, files, shapes)

    code, out, said = call(*asked[:3], demo_clip, "--pattern", r"_(\w+)\.", "--template", "a {}")
    assert (code, said) == (0, "")
    head, row, chance = (line.split() for line in out.splitlines()[2:5])
    assert head == ["way", "at", "1", "at", "5", "at", "10", "ms/picture", "ms/query", "MB"]
    recall = ways["demo_world"]["recall"]
    assert row[:4] == ["demo_world", *(f"{100 * recall[k]:.1f}" for k in ("1", "5", "10"))] and len(row) == 7
    assert chance == ["chance", *(f"{100 * found['chance'][k]:.1f}" for k in ("1", "5", "10"))]
    text = " ".join(out.split())
    assert "Recall at k is the share of labels of which a picture is among the first k that 'a {}' finds" in text
    assert "loading encoders and opening files are not counted" in text


def test_captions_are_searched_where_all_pictures_have_one(told, call, world, demo_clip, scenes, tmp_path):
    entries = [
        {"path": str(path), "text": scenes[int(path.name[:2])].caption(("colour", "shape"))}
        for path in sorted(world.rglob("*.png"))
    ]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    colours = {each["path"]: Path(each["path"]).parent.name for each in entries}
    (tmp_path / "labels.json").write_text(json.dumps(colours))
    asked = ("compare", tmp_path / "list.json", "--labels", tmp_path / "labels.json", "--encoder", demo_clip)
    found = told(*asked, "--template", "a {} shape")
    ways = ways_of(found)
    assert list(ways) == ["demo_world", "demo_world, captions", "all fused"]
    assert ways["demo_world, captions"]["recall"]["1"] == 1  # each says the colour
    assert found["captions"] == {"pictures": COUNT, "cut": {}}
    assert ways["all fused"]["of"] == list(ways)[:2]
    assert "without writing it" in " ".join(call(*asked)[1].split())


def test_without_an_encoder_the_first_full_clip_compares(told, drawn, pictures):
    labels = pictures / "labels.json"
    labels.write_text(json.dumps({"red.png": "red", "blue.png": "blue", "more/green.png": "green"}))
    found = told("compare", pictures, "--labels", labels)
    assert list(found["files"]) == ["tiny"] and found["queries"][0] == "a photo of blue"
    assert found["unlabelled"] == ["white.png", "yellow.png"]


def test_broken_pictures_are_left_out_and_told(told, call, pictures):
    for name in ("red.png", "blue.png", "white.png"):
        shutil.copy(pictures / name, pictures / "more" / name)
        (pictures / "others").mkdir(exist_ok=True)
        shutil.move(pictures / name, pictures / "others" / name)
    broken = pictures / "more/red.png"
    broken.write_bytes(broken.read_bytes()[:60])
    found = told("compare", pictures, code=3)
    assert [each["path"] for each in found["failed"]] == [str(broken)]
    assert found["pictures"] == 6 and found["labels"] == {"more": 3, "others": 3}
    code, out, _ = call("compare", pictures)
    assert code == 3 and "Not read (1)" in out and "Pictures without a label, which are left out: 1." in out


def test_the_limit_of_pixels_is_that_of_the_vision_language_model(call, pictures, qwen3_vl):
    code, _, said = call("compare", pictures, "--pattern", "(.)", "--encoder", qwen3_vl, "--max-pixels", 10)
    assert code == 1 and said.strip() == "max_pixels is 10: give a number from 4,096 to 1,843,200."


def test_encoders_of_one_name_are_told_apart(told, pictures, encoders, tmp_path):
    save(tiny_clip(1), tmp_path / "more" / "tiny.safetensors")
    both = (encoders / "tiny.safetensors", tmp_path / "more" / "tiny.safetensors")
    found = told("compare", pictures, "--pattern", "(.)", "--encoder", both[0], "--encoder", both[1])
    assert [way["way"] for way in found["ways"]] == [str(both[0]), str(both[1]), "fused"]
