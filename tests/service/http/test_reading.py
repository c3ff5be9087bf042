"""What a request may ask for, read from its bytes."""

import base64
import io
import json
import warnings

import numpy as np
import pytest
from PIL import Image

from image_prompt.clip_vision.pictures.images import to_rgb
from image_prompt.service.http import Limits, Refused
from image_prompt.service.http.reading import embeddings_asked, similarity_asked

from .conftest import BLUE, RED, as_url, bomb, data_url

LIMITS = Limits()


def read(limits=LIMITS, **fields):
    return embeddings_asked(json.dumps({"model": "m", **fields}).encode(), limits)


def refused(limits=LIMITS, **fields) -> Refused:
    with pytest.raises(Refused) as found:
        read(limits, **fields)
    assert found.value.status == 400
    return found.value


def test_a_text_a_picture_and_lists_of_them_are_read():
    assert [each.text for each in read(input="a cat").inputs] == ["a cat"]
    both = read(
        input=["data: is no picture", data_url(), {"text": "a cat", "image": data_url(BLUE)}, {"image": data_url()}]
    )
    assert [(each.text, each.of) for each in both.inputs] == [
        ("data: is no picture", "text"),
        ("", "image"),
        ("a cat", "image"),
        ("", "image"),
    ]
    assert [each.image.getpixel((0, 0)) for each in both.inputs[1:]] == [RED, BLUE, RED]


@pytest.mark.parametrize("text", ["https://example.com/cat.png", "/etc/passwd", "file:///etc/passwd"])
def test_an_address_is_a_text_as_any_other(text):
    assert [(each.text, each.image) for each in read(input=text).inputs] == [(text, None)]
    assert "no URL is fetched and no path is read: send the picture as data:image/" in str(
        refused(input={"image": text})
    )


def test_wishes_are_read():
    asked = read(input="x", dimensions=64, instruction="Find it.", pooling="mean", encoding_format="base64", user="me")
    assert (asked.wish.dimensions, asked.wish.instruction, asked.wish.pooling) == (64, "Find it.", "mean")
    assert asked.as_base64 and not read(input="x", encoding_format=None).as_base64
    both = similarity_asked(json.dumps({"model": "m", "a": "x", "b": ["y", data_url()]}).encode(), LIMITS)
    assert [each.of for each in (*both.a, *both.b)] == ["text", "text", "image"]


def test_a_request_has_limits():
    few = Limits(pixels=50, all_pixels=120)
    assert "Input 2: with it" not in str(refused(few, input=[data_url(size=(5, 10)), data_url(size=(6, 10))]))
    assert "Input 2: the picture has 6 x 10 pixels" in str(refused(few, input=["x", data_url(size=(6, 10))]))
    assert "Input 3: with it the pictures of the request have 150 pixels" in str(
        refused(few, input=[data_url(size=(5, 10))] * 3)
    )
    with pytest.raises(Refused, match="Input 1 of b: the picture has"):
        similarity_asked(json.dumps({"model": "m", "a": "x", "b": data_url(size=(60, 10))}).encode(), few)
    with pytest.raises(Refused, match="66 inputs are too many"):
        similarity_asked(json.dumps({"model": "m", "a": ["x"] * 33, "b": ["x"] * 33}).encode(), LIMITS)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "gif", "bmp", "avif"])
def test_every_format_is_read_as_pil_reads_it(format):
    url = data_url(size=(9, 7), format=format)
    (one,) = read(input=url).inputs
    with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(to_rgb(one.image, (0, 0, 0))[0][0].permute(1, 2, 0).numpy(), expected)


def test_a_picture_is_turned_as_its_camera_was():
    exif = Image.Exif()
    exif[0x0112] = 6
    (one,) = read(input=data_url(size=(9, 7), format="jpeg", exif=exif)).inputs
    assert to_rgb(one.image, (0, 0, 0))[0].shape == (1, 3, 9, 7)


@pytest.mark.parametrize("side", [9_600, 14_000])  # PIL warns from 9,500 on, and refuses from 13,400
def test_a_bomb_of_pixels_is_refused_by_its_head_and_without_a_warning(side):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"the picture has {side:,} x {side:,} pixels, and at most 40,000,000" in str(
            refused(input=as_url(bomb(side)))
        )
