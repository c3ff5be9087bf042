"""For any picture, an encoder reads what PIL makes of it, and a batch is read as its pictures one by one."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_prompt.clip_vision import fit, preprocess, tile_boxes

SIDE = st.integers(1, 48)
COLOR = st.tuples(*[st.integers(0, 255)] * 3)
PLACES = {"center": (0.5, 0.5), "top": (0.0, 0.5), "bottom": (1.0, 0.5), "left": (0.5, 0.0), "right": (0.5, 1.0)}
EIGHTHS = st.integers(-3, 7).map(lambda n: n / 8)  # of a picture, so that no place lies between two pixels by rounding
BY_HAND = st.tuples(EIGHTHS, EIGHTHS, st.integers(4, 16).map(lambda n: n / 8))


@st.composite
def noise(draw, width=SIDE, height=SIDE):
    """A picture of noise, in which bicubic resizing overshoots at every pixel."""
    shape = draw(height), draw(width), 3
    return np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, dtype=np.uint8)


def by_pil(pixels, size, crop, background):
    """What the encoder sees (S, S, 3), made step by step."""
    image = Image.fromarray(pixels)
    width, height = image.size
    if isinstance(crop, tuple):
        left, top, side = crop
        side = max(1, int(side * min(width, height) + 0.5))
        return np.asarray(resized(on(background, image, left * width, top * height, side), size, size))
    if crop == "squash":
        return np.asarray(resized(image, size, size))
    if crop == "pad":
        small = resized(image, *(max(1, round(size * each / max(width, height))) for each in (width, height)))
        canvas = Image.new("RGB", (size, size), background)
        canvas.paste(small, tuple((size - each) // 2 for each in small.size))
        return np.asarray(canvas)
    large = resized(image, *(int(size * each / min(width, height)) for each in (width, height)))
    down, right = PLACES[crop]
    top, left = int(down * (large.height - size)), int(right * (large.width - size))
    return np.asarray(large.crop((left, top, left + size, top + size)))


def on(background, image, left, top, side):
    """A square of a picture, and of the background beyond its edges. left, top: where the square begins"""
    canvas = Image.new("RGB", (side, side), background)
    canvas.paste(image, tuple(-int(np.floor(each + 0.5)) for each in (left, top)))
    return canvas


def resized(image, width, height):
    return image.resize((width, height), Image.Resampling.BICUBIC)


def lies_in(crop, pixels):
    """Whether a square that was placed by hand shows some of the picture."""
    height, width, _ = pixels.shape
    left, top, side = crop
    side = max(1, int(side * min(width, height) + 0.5))
    return all(
        int(np.floor(start * each + 0.5)) + side > 0 and int(np.floor(start * each + 0.5)) < each
        for start, each in ((left, width), (top, height))
    )


@given(noise(), st.integers(1, 40), BY_HAND, COLOR)
def test_what_an_encoder_sees_is_what_pil_makes(pixels, size, by_hand, background):
    for crop in (*PLACES, "pad", "squash", *[by_hand] * lies_in(by_hand, pixels)):
        (seen,) = fit(torch.from_numpy(pixels), size, crop, tuple(each / 255 for each in background))
        assert np.array_equal((seen.numpy() * 255).round(), by_pil(pixels, size, crop, background)), crop


@given(st.lists(noise(), min_size=1, max_size=4), st.integers(1, 30), st.sampled_from([*PLACES, "pad", "squash"]))
def test_pictures_of_any_sizes_are_read_as_one_by_one(pictures, size, crop):
    given_pictures = [torch.from_numpy(each) for each in pictures]
    assert torch.equal(fit(given_pictures, size, crop), torch.cat([fit(each, size, crop) for each in given_pictures]))


@given(noise(), st.integers(1, 30), st.tuples(*[st.floats(0, 1)] * 3), st.tuples(*[st.floats(0.1, 2)] * 3))
def test_pixel_values_are_normalised_channel_by_channel(pixels, size, mean, std):
    (found,) = preprocess(torch.from_numpy(pixels), size, mean, std)
    for channel, values in enumerate(found.double().numpy()):
        seen = by_pil(pixels, size, "center", (0, 0, 0))[..., channel] / 255
        np.testing.assert_allclose(values, (seen - mean[channel]) / std[channel], atol=2e-5)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8))
def test_tiles_lie_in_the_picture_and_cover_it(height, width, along):
    try:
        boxes = tile_boxes(height, width, along)
    except ValueError:
        assert max(height, width) / min(height, width) > 64 / along**2 / 2
        return
    covered = np.zeros((height, width), int)
    for top, left, side in boxes:
        assert covered[top : top + side, left : left + side].shape == (side, side)
        covered[top : top + side, left : left + side] += 1
    assert covered.min() >= 1 and len({box.side for box in boxes}) == 1
