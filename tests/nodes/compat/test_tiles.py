"""Tiles of pictures, and features of tiles that are joined again."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from image_prompt.nodes.compat.formulas.pictures import sharpened
from image_prompt.nodes.compat.formulas.tiles import cut, merged_embeds, merged_tokens, quartered


def random(*shape, seed=6):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def shrunk(picture, width, height):
    """One picture (H, W, 3) by PIL, in 8 bit."""
    levels = np.floor(picture.numpy() * np.float32(255)).astype(np.uint8)
    return torch.from_numpy(np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.LANCZOS)) / 255)


CANVASES = [  # height, width of a picture; those of what is cut; tops and lefts of the tiles
    (600, 500, 512, 512, [0, 256], [0, 256]),
    (680, 512, 512, 512, [0, 256], [0, 256]),
    (384, 256, 384, 256, [0, 128], [0]),
    (768, 512, 384, 256, [0, 128], [0]),
    (512, 684, 256, 342, [0], [0, 86]),
    (300, 1000, 256, 853, [0], [0, 199, 398, 597]),
    (60, 480, 256, 1024, [0], [0, 256, 512, 768]),
]


def canvas(picture, masks, height, width):
    """What is cut into tiles, made of one picture (H, W, 3) and masks (M, H, W) of the same size."""
    tall, broad = picture.shape[:2]
    if height == width:
        side = min(tall, broad)
        top, left = (tall - side) // 2, (broad - side) // 2
        picture = picture[top : top + side, left : left + side]
        masks = masks[:, top : top + side, left : left + side]
    full = max(width, math.trunc(256 * broad / tall)) if height == 256 else width
    left = (full - width) // 2
    masks = interpolate(masks[:, None], (height, full), mode="bicubic", antialias=True)[:, 0]
    return shrunk(picture, full, height)[:, left : left + width].float(), masks[:, :, left : left + width]


@pytest.mark.parametrize(("tall", "broad", "height", "width", "tops", "lefts"), CANVASES)
def test_tiles_lie_where_they_should(tall, broad, height, width, tops, lefts):
    image, masks = random(2, tall, broad, 3), random(2, tall, broad)
    tiles = cut(image, masks, 0.0)
    starts = [(top, left) for top in tops for left in lefts]
    assert len(tiles) == len(starts)
    made = [canvas(each, masks, height, width) for each in image]
    for tile, (top, left) in zip(tiles, starts):
        inside = (slice(top, top + 256), slice(left, left + 256))
        expected = torch.stack([picture[inside] for picture, _ in made])
        torch.testing.assert_close(tile.picture, expected, atol=1e-6, rtol=0)
        alone = torch.zeros(2, height, width)
        alone[:, inside[0], inside[1]] = made[0][1][:, inside[0], inside[1]]
        torch.testing.assert_close(tile.mask, alone, atol=1e-5, rtol=0)
        assert torch.equal(tile.inner, tile.mask[:, inside[0], inside[1]])


def test_without_a_mask_all_of_each_tile_acts():
    tiles = cut(random(1, 384, 256, 3), None, 0.0)
    assert [tile.mask.sum().item() for tile in tiles] == [256 * 256] * 2
    assert all(tile.mask.shape == (1, 384, 256) and tile.inner.min() == 1 for tile in tiles)


def test_a_mask_of_another_size_is_stretched_to_that_of_the_picture_first():
    image, mask = random(1, 300, 900, 3), random(1, 64, 64)
    at_picture = interpolate(mask[:, None], (300, 900), mode="bicubic", antialias=True)[:, 0]
    for tile, expected in zip(cut(image, mask, 0.0), cut(image, at_picture, 0.0), strict=True):
        assert torch.equal(tile.mask, expected.mask)


def test_the_whole_is_sharpened_and_not_each_tile():
    image = random(1, 384, 256, 3)
    whole = sharpened(torch.cat((cut(image, None, 0.0)[0].picture[:, :128], cut(image, None, 0.0)[1].picture), 1), 0.6)
    first, second = cut(image, None, 0.6)
    assert torch.equal(first.picture, whole[:, :256])
    assert torch.equal(second.picture, whole[:, 128:])


def test_pictures_are_quartered_tile_by_tile():
    image = random(2, 11, 13, 4)
    tiles = quartered(image, 3)
    assert tiles.shape == (18, 3, 4, 4)
    for row in range(3):
        for column in range(3):
            for number in range(2):
                expected = image[number, 3 * row : 3 * row + 3, 4 * column : 4 * column + 4]
                assert torch.equal(tiles[(row * 3 + column) * 2 + number], expected)


def test_a_picture_with_fewer_pixels_than_tiles_is_refused():
    with pytest.raises(ValueError, match=r"9x2 pixels large, too small for 3 x 3 tiles"):
        quartered(random(1, 2, 9, 3), 3)


@pytest.mark.parametrize(("along", "side"), [(2, 4), (3, 2), (4, 6)])
def test_tokens_of_tiles_are_joined_and_averaged(along, side):
    """Each token of the whole is the mean of a square of along x along tokens of the joined map."""
    hidden = random(along * along * 2, 1 + side * side, 5)
    merged = merged_tokens(hidden, along)
    assert merged.shape == (2, 1 + side * side, 5)
    for number in range(2):
        tiles = hidden[number::2]
        torch.testing.assert_close(merged[number, 0], sum(tile[0] for tile in tiles) / along**2)
        for row in range(side):
            for column in range(side):
                total = torch.zeros(5)
                for y in range(row * along, row * along + along):
                    for x in range(column * along, column * along + along):
                        total += tiles[(y // side) * along + x // side, 1 + (y % side) * side + x % side]
                torch.testing.assert_close(merged[number, 1 + row * side + column], total / along**2)


def test_embeds_of_tiles_are_joined_as_maps_are():
    embeds = random(8, 16)
    tokens = torch.cat((torch.zeros(8, 1, 1), embeds[..., None]), 1)
    torch.testing.assert_close(merged_embeds(embeds, 2), merged_tokens(tokens, 2)[:, 1:, 0])


def test_one_tile_is_the_whole():
    image, hidden, embeds = random(2, 5, 7, 3), random(2, 10, 4), random(2, 9)
    assert torch.equal(quartered(image, 1), image)
    assert torch.equal(merged_tokens(hidden, 1), hidden)
    assert torch.equal(merged_embeds(embeds, 1), embeds)


@pytest.mark.parametrize("width", [768, 1280])
def test_features_that_are_no_squares_are_refused(width):
    with pytest.raises(ValueError, match=f"such as 1024, and it gives {width}: use another encoder"):
        merged_embeds(random(4, width), 2)
    with pytest.raises(ValueError, match=f"and it gives {width} tokens"):
        merged_tokens(random(4, width, 2), 2)
