"""Encode Image Prompt sees tiles, and what a mask shows."""

from types import SimpleNamespace

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

from image_prompt.clip_vision import cut_tiles, fit
from image_prompt.nodes import display
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt

FIELDS = ("image_embeds", "last_hidden_state", "penultimate_hidden_states")
LEVEL = 1.01 / 255


def encode(encoder, image, **options):
    return EncodeImagePrompt.execute(encoder, image, **options).args


def test_every_tile_is_a_reference_of_its_own(encoder, pictures):
    """Pictures of 60x40 have 2 x 3 tiles of 20x20."""
    features, seen = encode(encoder, pictures, crop="tiles")
    assert seen.shape == (12, 32, 32, 3)
    boxes = [(row, column) for row in (0, 20) for column in (0, 20, 40)]
    parts = [picture[None, top : top + 20, left : left + 20] for picture in pictures for top, left in boxes]
    alone = [encode(encoder, part) for part in parts]
    assert torch.equal(seen, torch.cat([shown for _, shown in alone]))
    joined, *others = (each for each, _ in alone)
    for each in others:
        joined = CombineImagePrompts.execute("concat", features_1=joined, features_2=each).args[0]
    for field in FIELDS:
        torch.testing.assert_close(getattr(features, field), getattr(joined, field), rtol=1e-5, atol=1e-5)


def test_the_number_of_tiles_along_the_short_side(encoder, pictures):
    shapes = {tiles: len(encode(encoder, pictures[:1], crop="tiles", tiles=tiles)[1]) for tiles in (1, 2, 3)}
    assert shapes == {1: 2, 2: 6, 3: 15}


def test_the_square_around_a_mask_with_what_lies_outside(encoder, pictures):
    mask = torch.zeros(1, 40, 60)
    mask[:, 10:20, 30:40] = 1
    seen = encode(encoder, pictures, crop="mask", mask=mask, margin=0.5, outside="picture")[1]
    assert torch.equal(seen, encode(encoder, pictures[:, 5:25, 25:45])[1])
    alone = torch.full_like(pictures, 0.5)
    alone[:, 10:20, 30:40] = pictures[:, 10:20, 30:40]
    seen = encode(encoder, pictures, crop="mask", mask=mask, margin=0.5, background="grey")[1]
    assert torch.equal(seen, encode(encoder, alone[:, 5:25, 25:45])[1])


@pytest.mark.parametrize("crop", ["center", "pad", "right"])
def test_outside_a_mask_the_image_is_the_background_whatever_the_crop(encoder, pictures, crop):
    mask = torch.rand(2, 40, 60, generator=torch.Generator().manual_seed(2))
    seen = encode(encoder, pictures, crop=crop, mask=mask, background="white")[1]
    expected = encode(encoder, 1 - (1 - pictures) * mask[..., None], crop=crop, background="white")[1]
    assert (seen - expected).abs().max() <= 2 * LEVEL  # two roundings
    alpha = torch.cat([pictures, mask[..., None]], dim=-1)
    assert (seen - encode(encoder, alpha, crop=crop, background="white")[1]).abs().max() <= LEVEL
    kept = encode(encoder, pictures, crop=crop, mask=mask, outside="picture")[1]
    assert torch.equal(kept, encode(encoder, pictures, crop=crop)[1])


def test_tiles_that_a_mask_leaves_empty_are_left_out(encoder, pictures):
    masks = torch.zeros(2, 40, 60)
    masks[0, 5, 5], masks[1, 30, 15:25] = 1, 1
    seen = encode(encoder, pictures, crop="tiles", mask=masks)[1]
    cleared = fit(cut_tiles(pictures * masks[..., None]), 32)
    assert torch.equal(seen, cleared[[0, 6 + 3, 6 + 4]])
    both = encode(encoder, pictures, crop="tiles", mask=masks[:1])[1]
    assert torch.equal(both, fit(cut_tiles(pictures * masks[:1, ..., None]), 32)[[0, 6]])
    assert len(encode(encoder, pictures, crop="tiles", mask=masks, outside="picture")[1]) == 12


def test_the_square_that_a_box_names(encoder, pictures):
    """Pictures of 60x40: left and top are parts of the width and the height, the side of the shorter side."""
    seen = encode(encoder, pictures, crop="box", box="0.25, 0.1, 0.5")[1]
    assert torch.equal(seen, encode(encoder, pictures[:, 4:24, 15:35])[1])
    beyond = torch.ones(2, 40, 40, 3)
    beyond[:, 20:, 10:] = pictures[:, :20, :30]
    seen = encode(encoder, pictures, crop="box", box=f"{-10 / 60}, -0.5, 1", background="white")[1]
    assert torch.equal(seen, encode(encoder, beyond)[1])
    assert torch.equal(encode(encoder, pictures, crop="box")[1], encode(encoder, pictures)[1])
    assert torch.equal(encode(encoder, pictures, box="not read")[1], encode(encoder, pictures)[1])


def test_with_a_mask_a_box_shows_the_background_outside(encoder, pictures):
    mask = torch.zeros(1, 40, 60)
    mask[:, :20] = 1
    seen = encode(encoder, pictures, crop="box", box="0, 0, 1", mask=mask)[1]
    assert torch.equal(seen, encode(encoder, (pictures * mask[..., None])[:, :, :40])[1])


def test_a_box_is_checked_before_the_prompt_is_queued():
    check = EncodeImagePrompt.validate_inputs
    assert check(crop="box", box="0, 0, 1") is check(crop="box", box=None) is check(crop="center", box="x") is True
    assert "give left, top and side" in check(crop="box", box="x")
    assert "choose one of center" in check(crop="middle")


def test_a_browser_is_given_the_picture_and_what_was_seen(encoder, pictures, monkeypatch):
    options = {"crop": "tiles", "tiles": 3}
    assert EncodeImagePrompt.execute(encoder, pictures, **options).ui is None
    monkeypatch.setattr(display, "prompt_server", lambda: SimpleNamespace(client_id="a browser"))
    output = EncodeImagePrompt.execute(encoder, pictures, **options)
    (shown,) = output.ui["image_prompt_encode"]
    assert torch.equal(output.args[1], encode(encoder, pictures, **options)[1])
    asked = {"crop": "tiles", "background": "black", "tiles": 3}
    numbers = {"columns": 4, "shown": 16, "count": 30, "side": 32, "height": 40, "width": 60, "edges": None}
    assert {**shown, "seen": "", "picture": ""} == {**numbers, "asked": asked, "seen": "", "picture": ""}
    sheet, picture = (read_temporary(shown[name]) for name in ("seen", "picture"))
    assert np.abs(picture - pictures[0].numpy()).max() <= LEVEL
    places = [sheet[top : top + 32, left : left + 32] for top in range(0, 128, 32) for left in range(0, 128, 32)]
    assert np.abs(np.stack(places) - output.args[1][:16].numpy()).max() <= LEVEL


def test_a_browser_is_told_where_the_square_around_the_mask_lies(encoder, pictures, monkeypatch):
    monkeypatch.setattr(display, "prompt_server", lambda: SimpleNamespace(client_id="a browser"))
    mask = torch.zeros(1, 40, 60)
    mask[:, 10:20, 30:40] = 1
    output = EncodeImagePrompt.execute(encoder, pictures[..., :1], crop="mask", mask=mask, margin=0.5)
    (shown,) = output.ui["image_prompt_encode"]
    assert shown["edges"] == {"top": 5, "left": 25, "bottom": 25, "right": 45}
    assert shown["asked"]["margin"] == 0.5
    assert read_temporary(shown["picture"]).shape == (40, 60, 3)


def read_temporary(file):
    assert file["type"] == "temp"
    return np.asarray(Image.open(f"{folder_paths.get_temp_directory()}/{file['filename']}")) / 255


def test_new_inputs_come_last_and_old_workflows_read_as_before():
    ids = [each.id for each in EncodeImagePrompt.define_schema().inputs]
    assert ids[:5] == ["clip_vision", "image", "crop", "background", "adapter"] and ids[-1] == "box"
    crop = EncodeImagePrompt.define_schema().inputs[2]
    assert crop.options[:7] == ["center", "top", "bottom", "left", "right", "pad", "squash"]
    assert crop.options[-1] == "box"
