"""Encode Folder of Pictures takes the pictures it should, in the order it should, and keeps only their squares."""

import math
import os
import sys
import weakref

import comfy.model_management
import comfy.utils
import folder_paths
import numpy as np
import pytest
import tiny
import torch
from PIL import ExifTags, Image

from image_prompt.clip_vision import encode_pixels
from image_prompt.clip_vision.pictures import preprocessing, tiling
from image_prompt.clip_vision.pictures.images import to_rgb
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.encoder import known_features
from image_prompt.nodes.encoding.folder import EncodeFolder, folders

NAMES = ["a.png", "b2.jpg", "b10.webp", "C1.gif"]


def picture(width=40, height=30, mode="RGB", seed=0):
    numbers = np.random.default_rng(seed).integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
    return Image.fromarray(numbers)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """ComfyUI's input folder, with four pictures of several sizes in "set", and none in itself."""
    folder = tmp_path / "input"
    (folder / "set" / "below").mkdir(parents=True)
    monkeypatch.setattr(folder_paths, "get_input_directory", lambda: str(folder))
    for number, name in enumerate(NAMES):
        picture(40 + 7 * number, 30 + 20 * number, "RGBA" if name == "a.png" else "RGB", number).save(
            folder / "set" / name
        )
    (folder / "set" / "notes.txt").write_text("no picture")
    (folder / "set" / ".hidden.png").write_text("no picture either")
    picture().save(folder / "set" / "below" / "d.png")
    return folder


def encode(encoder, folder="set", **options):
    return EncodeFolder.execute(encoder, folder, **options).args


def names(encoder, **options):
    return encode(encoder, **options)[2].split("\n")


def fingerprint(**inputs):
    return EncodeFolder.fingerprint_inputs(clip_vision=None, **{"folder": "set", **inputs})


def test_pictures_of_all_sizes_are_those_that_pil_opens_in_the_order_of_people(root, encoder):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(50, 30, seed=9).save(root / "set" / "b2.jpg", exif=exif)
    features, seen, found = encode(encoder, background="grey")
    assert found.split("\n") == NAMES
    for row, name in enumerate(NAMES):
        with Image.open(root / "set" / name) as opened:
            upright = Image.fromarray(np.rot90(np.asarray(opened), -1)) if name == "b2.jpg" else opened.convert("RGBA")
            pixels = torch.tensor(np.asarray(upright.convert("RGBA")))[None] / 255
        alone, square = EncodeImagePrompt.execute(encoder, pixels, background="grey").args
        assert torch.equal(seen[row], square[0])
        torch.testing.assert_close(features.image_embeds[row], alone.image_embeds[0], rtol=1e-5, atol=1e-5)


def test_some_at_random_are_the_same_for_the_same_number(root, encoder):
    drawn = {number: tuple(names(encoder, pictures="at random", count=2, number=number)) for number in range(20)}
    assert drawn == {number: tuple(names(encoder, pictures="at random", count=2, number=number)) for number in drawn}
    assert len(set(drawn.values())) == 6  # all pairs of four
    assert all(list(pair) == [name for name in NAMES if name in pair] for pair in drawn.values())
    assert names(encoder, pictures="at random", count=9) == NAMES


def test_pictures_in_turn_go_round(root, encoder):
    turns = [names(encoder, pictures="in turn", count=3, number=number) for number in range(3)]
    assert turns == [NAMES[:3], [NAMES[3], *NAMES[:2]], [*NAMES[2:], NAMES[0]]]
    assert names(encoder, pictures="in turn", count=9) == NAMES
    assert names(encoder, pictures="in turn", number=2**64 - 1) == [NAMES[3]]


def test_tiles_and_the_adapter_are_those_of_encode_image_prompt(root, encoder):
    adapter = tiny.adapter(tiny.unet("SD1.5"))
    options = {"crop": "tiles", "tiles": 1, "adapter": adapter}
    features, seen, _ = encode(encoder, **options)
    each = []
    for name in NAMES:
        pixels = torch.tensor(np.asarray(Image.open(root / "set" / name).convert("RGBA")))[None] / 255
        each.append(EncodeImagePrompt.execute(encoder, pixels, **options).args)
    assert torch.equal(seen, torch.cat([square for _, square in each])) and len(seen) > len(NAMES)
    expected = torch.cat([alone.image_embeds for alone, _ in each])
    torch.testing.assert_close(features.image_embeds, expected, rtol=1e-5, atol=1e-5)
    assert features.kept_for == adapter.name


def test_encoding_in_chunks_equals_encoding_at_once(root, monkeypatch):
    found = []
    for pictures in (1, 3, 100):
        monkeypatch.setattr(sys.modules[encode_pixels.__module__], "CPU_TOKENS", pictures * 17)
        known_features.clear()
        passes, encoder = [], tiny.encoder()
        encoder.model.patch_embedding.register_forward_hook(lambda *call: passes.append(len(call[-1])))
        found.append(encode(encoder)[0])
        assert passes == {1: [1, 1, 1, 1], 3: [3, 1], 100: [4]}[pictures]
    for field in ("image_embeds", "last_hidden_state", "penultimate_hidden_states"):
        for other in found[1:]:
            torch.testing.assert_close(getattr(found[0], field), getattr(other, field), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("crop", ["center", "tiles"])
def test_of_an_original_nothing_is_left_when_the_next_is_read(root, encoder, monkeypatch, crop):
    kept = []

    def reading(*given):
        assert not any(original() is not None for original in kept)
        batches = to_rgb(*given)
        kept.extend(weakref.ref(each) for each in batches)
        return batches

    for user in (preprocessing, tiling):
        monkeypatch.setattr(user, "to_rgb", reading)
    encode(encoder, crop=crop)
    assert len(kept) >= len(NAMES)


def test_reading_tells_its_progress_and_ends_when_it_is_cancelled(root, encoder, monkeypatch):
    told = []

    def hook(now, total, *_, **__):
        told.append((now, total))
        comfy.model_management.interrupt_current_processing(len(told) == 2)

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        encode(encoder)
    assert told == [(1, 4), (2, 4)]


def test_folders_below_the_input_folder_are_offered(root):
    (root / "set 10").mkdir()
    (root / "set 9" / ".git").mkdir(parents=True)
    (root / "set 9" / "circle").symlink_to(root)
    (root / "again").symlink_to(root / "set")
    (root.parent / "away" / "deep").mkdir(parents=True)
    (root.parent / "away" / "deep" / "back").symlink_to(root.parent / "away")
    (root / "a link").symlink_to(root.parent / "away")
    offered = EncodeFolder.define_schema().inputs[1].options
    assert offered == folders() == ["a link", "a link/deep", "set", "set/below", "set 9", "set 10", "."]


def test_folders_are_listed_again_only_when_one_has_changed(root, monkeypatch):
    first, walks, walk = folders(), [], os.walk
    monkeypatch.setattr(os, "walk", lambda *args, **options: walks.append(args) or walk(*args, **options))
    assert folders() == first and not walks
    (root / "set" / "below" / "new").mkdir()
    assert "set/below/new" in folders() and walks
    (root / "set" / "below" / "new").rmdir()
    assert folders() == first


def test_a_new_node_stays_with_its_number():
    """A number that moves on by itself would sample again in every run, also where it is not read."""
    numbers = {each.id: each for each in EncodeFolder.define_schema().inputs}
    assert numbers["number"].as_dict()["control_after_generate"] == "fixed"


CHANGES = {
    "added": lambda folder: picture().save(folder / "b3.png"),
    "changed": lambda folder: picture(seed=7).save(folder / "a.png"),
    "touched": lambda folder: os.utime(folder / "a.png", (1, 1)),
    "renamed": lambda folder: os.rename(folder / "a.png", folder / "z.png"),
    "gone": lambda folder: os.remove(folder / "a.png"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("inputs", [{}, {"folder": None}, {"pictures": None}, {"pictures": "in turn", "number": None}])
def test_a_change_of_what_is_taken_makes_it_run_again(root, change, inputs):
    before = fingerprint(**inputs)
    assert fingerprint(**inputs) == before and isinstance(before, str)
    CHANGES[change](root / "set")
    assert fingerprint(**inputs) != before


def test_what_is_not_taken_does_not_make_it_run_again(root):
    turn = {"pictures": "in turn", "count": 2, "number": 0}
    before, turned = fingerprint(), fingerprint(**turn)
    (root / "set" / "more.txt").write_text("no picture")
    picture(seed=7).save(root / "set" / "below" / "d.png")
    assert fingerprint() == before
    picture(seed=7).save(root / "set" / "C1.gif")
    assert fingerprint() != before and fingerprint(**turn) == turned != fingerprint(**{**turn, "number": 1})
    assert math.isnan(fingerprint(folder="gone"))


def test_an_unchanged_picture_is_not_encoded_again(root):
    encoder, passes = tiny.encoder(), []
    encoder.model.patch_embedding.register_forward_hook(lambda *call: passes.append(len(call[-1])))
    encode(encoder)
    picture(seed=7).save(root / "set" / "b3.png")
    assert len(encode(encoder)[1]) == 5 and passes == [4, 1]
