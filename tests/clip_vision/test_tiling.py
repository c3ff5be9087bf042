"""Tiles cover a picture, squares lie around masks, and both hold what PIL cuts out."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from image_prompt.clip_vision import clear_outside, crop_to_mask, cut_tiles, fit, mask_box, tile_boxes

BOXES = [  # height, width, along the short side, side, where rows begin, where columns begin
    (512, 512, 1, 512, [0], [0]),
    (512, 512, 2, 256, [0, 256], [0, 256]),
    (512, 768, 1, 512, [0], [0, 256]),
    (512, 768, 2, 256, [0, 256], [0, 256, 512]),
    (300, 1000, 1, 300, [0], [0, 233, 466, 700]),
    (1000, 300, 1, 300, [0, 233, 466, 700], [0]),
    (513, 512, 1, 512, [0, 1], [0]),
    (7, 11, 3, 3, [0, 2, 4], [0, 2, 5, 8]),
    (2, 3, 8, 1, [0, 1], [0, 1, 2]),
    (1, 64, 1, 1, [0], list(range(64))),
]
RED = (1.0, 0.0, 0.0)


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pil_mask(size, *box):
    mask = Image.new("L", size)
    if box:
        ImageDraw.Draw(mask).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=255)
    return mask


@pytest.mark.parametrize(("height", "width", "along", "side", "tops", "lefts"), BOXES)
def test_the_boxes_of_tiles(height, width, along, side, tops, lefts):
    assert tile_boxes(height, width, along) == [(top, left, side) for top in tops for left in lefts]


def test_tiles_cover_every_pixel_with_the_fewest_squares_evenly_spread():
    generator = np.random.default_rng(3)
    for _ in range(300):
        height, width, along = (int(number) for number in generator.integers((1, 1, 1), (200, 200, 9)))
        side = -(-min(height, width) // along)
        if -(-height // side) * -(-width // side) > 64:
            continue
        boxes, seen = tile_boxes(height, width, along), np.zeros((height, width), bool)
        for top, left, _ in boxes:
            assert top >= 0 <= left and top + side <= height and left + side <= width
            seen[top : top + side, left : left + side] = True
        assert seen.all()
        for length, starts in ((height, {box.top for box in boxes}), (width, {box.left for box in boxes})):
            assert len(starts) == -(-length // side)
            assert np.ptp(np.diff(sorted(starts)) if len(starts) > 1 else [0]) <= 1


def test_the_encoder_sees_the_tiles_that_pil_cuts():
    image, other = noise(70, 30), noise(20, 20, seed=1)
    expected = [
        torch.tensor(np.asarray(source.crop((left, top, left + side, top + side)).resize((32, 32), 3))) / 255
        for source in (image, other)
        for top, left, side in tile_boxes(source.height, source.width, 2)
    ]
    assert torch.equal(fit(cut_tiles([image, other], 2), 32), torch.stack(expected))


def test_a_square_picture_of_one_tile_is_itself():
    assert torch.equal(fit(cut_tiles(noise(33, 33), 1), 24), fit(noise(33, 33), 24))


MASKS = [  # width, height, white box (left, top, right, bottom), margin, left, top and side of the square
    (100, 80, (40, 30, 60, 40), 0.0, 40, 25, 20),
    (100, 80, (40, 30, 60, 40), 0.5, 30, 15, 40),
    (100, 80, (90, 0, 100, 10), 0.5, 80, 0, 20),  # in the corner: moved inside
    (100, 80, (10, 10, 70, 20), 1.0, 0, 0, 80),  # the margin is given up
    (100, 20, (10, 5, 90, 15), 0.1, 10, -30, 80),  # longer than the picture is high
    (30, 100, (0, 0, 30, 100), 0.1, -35, 0, 100),
]


@pytest.mark.parametrize(("width", "height", "white", "margin", "left", "top", "side"), MASKS)
def test_the_square_around_a_mask_is_what_pil_cuts_out(width, height, white, margin, left, top, side):
    image, mask = noise(width, height), pil_mask((width, height), *white)
    assert mask_box(torch.tensor(np.asarray(mask)), margin) == (top, left, side)
    square = Image.new("RGB", (side, side), (255, 0, 0))
    square.paste(image, (-left, -top))
    (found,) = crop_to_mask(image, mask, margin, RED)
    assert np.array_equal(found, square)


def test_outside_a_mask_a_picture_is_the_background_as_in_pil():
    image, mask = noise(20, 10), Image.linear_gradient("L").resize((20, 10))
    theirs = Image.composite(image, Image.new("RGB", image.size, (255, 0, 0)), mask)
    (found,) = clear_outside(image, mask, RED)
    assert np.abs(np.asarray(found, np.int16) - np.asarray(theirs, np.int16)).max() <= 1


def test_one_mask_serves_all_pictures_and_several_one_each():
    batch, masks = torch.rand(2, 8, 8, 3), torch.zeros(2, 8, 8, 1)
    masks[0, :4], masks[1, 4:] = 1, 1
    each = [clear_outside(picture, mask)[0] for picture, mask in zip(batch, masks)]
    assert all(map(torch.equal, clear_outside(batch, masks), each))
    alone = [clear_outside(picture, masks[0])[0] for picture in batch]
    assert all(map(torch.equal, clear_outside(batch, masks[0]), alone))
    assert not torch.equal(each[1], alone[1])


MASKED = {"images": noise(8, 8), "mask": pil_mask((8, 8), 0, 0, 4, 4)}
REFUSED = [
    (tile_boxes, {"height": 8, "width": 8, "along": 0}, "short side is 0: give a whole number from 1 to 8"),
    (tile_boxes, {"height": 8, "width": 8, "along": 2.0}, "is 2.0: give a whole number"),
    (
        tile_boxes,
        {"height": 100, "width": 200, "along": 8},
        "200x100 pixels has 128 tiles .* most 64 are made: ask for fewer",
    ),
    (
        cut_tiles,
        {"images": noise(65, 1), "along": 1},
        '65x1 pixels has 65 tiles .* ask for fewer, cut the picture first, or use .* "pad"',
    ),
    (crop_to_mask, {**MASKED, "margin": -0.1}, "margin around the mask is -0.1: give a number of at least 0"),
    (crop_to_mask, {**MASKED, "margin": "wide"}, "margin around the mask is 'wide': give a number"),
    (crop_to_mask, {**MASKED, "margin": float("inf")}, "margin around the mask is inf"),
    (crop_to_mask, {**MASKED, "mask": pil_mask((8, 8)).point(lambda _: 51)}, "brightest pixel is 0.2, and from 0.5 on"),
    (clear_outside, {**MASKED, "mask": pil_mask((8, 8))}, "The mask is black, so that nothing"),
    (
        clear_outside,
        {"images": [noise(8, 8)] * 2, "mask": [MASKED["mask"], pil_mask((8, 8))]},
        "mask of picture 2 is b",
    ),
    (crop_to_mask, {**MASKED, "mask": pil_mask((9, 7), 0, 0, 4, 4)}, "mask is 9x7 pixels large, and its picture 8x8"),
    (clear_outside, {**MASKED, "mask": [MASKED["mask"]] * 2}, "2 masks for 1 pictures: give one mask for all, or one"),
]


@pytest.mark.parametrize(("function", "inputs", "message"), REFUSED)
def test_what_gives_no_square_is_refused(function, inputs, message):
    with pytest.raises(ValueError, match=message):
        function(**inputs)
