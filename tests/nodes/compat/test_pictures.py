"""Squares of pictures, in 8 bit and sharpened."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from image_prompt.nodes.compat.formulas.pictures import for_faces, prepared, sharpened
from image_prompt.nodes.compat.methods.pictures import ROWS
from image_prompt.nodes.compat.node import node_class


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(5))


def by_pil(picture, box, size, interpolation=Image.Resampling.LANCZOS):
    """The part (left, top, right, bottom) of one picture (H, W, C), cut, rounded down to 8 bit and resized."""
    levels = np.floor(picture.numpy() * np.float32(255)).astype(np.uint8).squeeze()
    done = np.asarray(Image.fromarray(levels).crop(box).resize(size, interpolation), np.float32) / 255
    return torch.from_numpy(done.reshape(size[1], size[0], -1))


BOXES = {  # of a picture 51 wide and 30 high, and of one 30 wide and 51 high
    "top": ((10, 0, 40, 30), (0, 0, 30, 30)),
    "bottom": ((10, 0, 40, 30), (0, 21, 30, 51)),
    "left": ((0, 0, 30, 30), (0, 10, 30, 40)),
    "right": ((21, 0, 51, 30), (0, 10, 30, 40)),
    "center": ((10, 0, 40, 30), (0, 10, 30, 40)),
    "pad": ((0, -10, 51, 40), (-10, 0, 40, 51)),  # 51 x 50: one pixel from a square
}


@pytest.mark.parametrize("position", BOXES)
def test_a_square_is_cut_and_resized(position):
    for (height, width), box in zip(((30, 51), (51, 30)), BOXES[position]):
        image = random(2, height, width, 3)
        expected = torch.stack([by_pil(each, box, (224, 224)) for each in image])
        assert torch.equal(prepared(image, "LANCZOS", position, 0.0), expected)


@pytest.mark.parametrize("name", ["LANCZOS", "BICUBIC", "HAMMING", "BILINEAR", "BOX", "NEAREST"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_filter_is_that_of_pil_for_all_kinds_of_pictures(name, channels):
    image = random(1, 30, 30, channels)
    expected = by_pil(image[0], (0, 0, 30, 30), (224, 224), Image.Resampling[name])
    assert torch.equal(prepared(image, name, "top", 0.0)[0], expected)


@pytest.mark.parametrize(("number", "level"), [(0.999, 254), (1.0, 255), (1.5, 255), (-0.5, 0), (0.5, 127)])
def test_numbers_are_rounded_down_to_8_bit_and_never_wrap_around(number, level):
    assert torch.equal(
        prepared(torch.full((1, 8, 8, 3), number), "BOX", "top", 0.0).unique() * 255, torch.tensor([level])
    )


def sharp(picture, amount):
    """One channel (H, W), pixel by pixel."""
    height, width = picture.shape
    result = torch.zeros(height, width)

    def at(y, x):
        return float(picture[y, x]) if 0 <= y < height and 0 <= x < width else 0.0

    for y in range(height):
        for x in range(width):
            b, d, e, f, h = at(y - 1, x), at(y, x - 1), at(y, x), at(y, x + 1), at(y + 1, x)
            corners = at(y - 1, x - 1), at(y - 1, x + 1), at(y + 1, x - 1), at(y + 1, x + 1)
            mn = max(min(b, d, e, f, h), 0) + max(min(corners), 0)
            mx = min(max(b, d, e, f, h), 1) + min(max(corners), 1)
            if mx > 0:
                k = -math.sqrt(min(mn, 2 - mx) / mx) * (amount * (1 / 5 - 1 / 8) + 1 / 8)
                result[y, x] = min(max(((b + d + f + h) * k + e) / (1 + 4 * k), 0), 1)
    return result


@pytest.mark.parametrize("amount", [0.05, 0.5, 1.0])
def test_sharpening_is_its_formula_at_every_pixel(amount):
    image = random(2, 9, 12, 4)
    image[0, 3:7, 3:7] = 0.0  # black all around a pixel
    expected = torch.stack([torch.stack([sharp(each[..., c], amount) for c in range(4)], -1) for each in image])
    torch.testing.assert_close(sharpened(image, amount), expected, atol=2e-6, rtol=1e-5)


def test_sharpening_follows_resizing_and_0_leaves_pictures_as_they_are():
    image = random(1, 40, 30, 3)
    plain = prepared(image, "BICUBIC", "bottom", 0.0)
    assert torch.equal(sharpened(plain, 0.0), plain)
    assert torch.equal(prepared(image, "BICUBIC", "bottom", 0.7), sharpened(plain, 0.7))


@pytest.mark.parametrize("position", ["center", "top", "bottom", "left", "right"])
@pytest.mark.parametrize("pad_around", [False, True])
def test_pictures_for_faces_are_large_and_have_a_white_border_if_asked(position, pad_around):
    image = random(1, 51, 30, 3)
    expected = torch.ones(1, 640, 640, 3)
    edge, side = (30, 580) if pad_around else (0, 640)
    expected[0, edge : edge + side, edge : edge + side] = by_pil(image[0], BOXES[position][1], (side, side))
    assert torch.equal(for_faces(image, position, 0.0, pad_around), expected)
    assert torch.equal(for_faces(image, position, 0.3, pad_around), sharpened(expected, 0.3))


PREP, _, FACES = (node_class(row, "pack") for row in ROWS)


def test_the_nodes_prepare_pictures():
    image = random(2, 20, 30, 3)
    assert torch.equal(PREP().prep_image(image)[0], prepared(image, "LANCZOS", "top", 0.0))
    assert torch.equal(PREP().prep_image(image, "BOX", "pad", 0.5)[0], prepared(image, "BOX", "pad", 0.5))
    assert torch.equal(FACES().prep_image(image)[0], for_faces(image, "center", 0.0, True))
    assert torch.equal(FACES().prep_image(image, "left", 0.5, False)[0], for_faces(image, "left", 0.5, False))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"image": None}, "image is nothing"),
        ({"image": random(0, 8, 8, 3)}, r"shape \(0, 8, 8, 3\), which holds no picture"),
        ({"image": random(1, 8, 8, 3) * math.nan}, "holds NaN"),
        ({"interpolation": "CUBIC"}, "interpolation is the text 'CUBIC'"),
        ({"crop_position": "middle"}, "crop_position is the text 'middle'"),
        ({"sharpening": [0.5]}, "sharpening is a list of 1"),
        ({"sharpening": 1.5}, "sharpening is 1.5"),
    ],
)
def test_wrong_inputs_are_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        PREP().prep_image(**{"image": random(1, 8, 8, 3), **inputs})


def test_pictures_for_faces_cannot_be_padded_to_squares():
    with pytest.raises(ValueError, match="crop_position is the text 'pad': choose one of center, top, bottom"):
        FACES().prep_image(random(1, 8, 8, 3), "pad")
