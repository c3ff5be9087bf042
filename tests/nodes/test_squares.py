"""Encode Image Prompt sees tiles, and what a mask shows."""

import pytest
import torch

from image_prompt.clip_vision import cut_tiles, fit
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


def test_new_inputs_come_last_and_old_workflows_read_as_before():
    ids = [each.id for each in EncodeImagePrompt.define_schema().inputs]
    assert ids[:5] == ["clip_vision", "image", "crop", "background", "adapter"]
    crop = EncodeImagePrompt.define_schema().inputs[2]
    assert crop.options[:7] == ["center", "top", "bottom", "left", "right", "pad", "squash"]
