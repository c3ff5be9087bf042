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


@pytest.mark.parametrize(
    ("fields", "words", "param"),
    [
        ({"input": [[1, 2], [3]]}, "check_embedding_ctx_length=False", "input"),
        ({"input": [101, 102]}, "check_embedding_ctx_length=False", "input"),
        ({}, "input is not given: give a text", "input"),
        ({"input": []}, "input is a list of 0", "input"),
        ({"input": None}, "input is null", "input"),
        ({"input": 7}, "input is 7", "input"),
        ({"input": ["x", None]}, "Input 2: it is null", "input"),
        ({"input": [True]}, "Input 1: it is true", "input"),
        ({"input": "  "}, "Input 1: The text is empty", "input"),
        ({"input": {}}, "Input 1: The text is empty", "input"),
        ({"input": {"text": 3, "image": None}}, "Input 1: its text is 3", "input"),
        ({"input": {"text": "x", "url": "y"}}, "no field 'url'", "input"),
        ({"input": {"image": 3}}, "its image is 3, and no URL is fetched", "input"),
        ({"input": "\ud800"}, "half of a surrogate pair", "input"),
        ({"input": "x", "model": 3}, "model is 3: give the name", "model"),
        ({"input": "x", "model": ""}, "model is the text ''", "model"),
        ({"input": "x", "encoding_format": "int8"}, "it is float or base64", "encoding_format"),
        ({"input": "x", "encoding_format": ["float"]}, "encoding_format is a list of 1", "encoding_format"),
        ({"input": "x", "dimensions": 0}, "dimensions is 0", "dimensions"),
        ({"input": "x", "dimensions": True}, "dimensions is true", "dimensions"),
        ({"input": "x", "dimensions": 1.5}, "dimensions is 1.5", "dimensions"),
        ({"input": "x", "dimensions": 10**300}, "dimensions is a large number", "dimensions"),
        ({"input": "x", "instruction": {}}, "instruction is an object", "instruction"),
        (
            {"input": "x", "image_url": "y"},
            "no field 'image_url'. There are model, input, encoding_format",
            "image_url",
        ),
    ],
)
def test_what_cannot_be_asked_is_named(fields, words, param):
    found = refused(**fields)
    assert words in str(found) and found.param == param


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON that can be read"),
        (b"{", "not JSON that can be read"),
        (b"\xff\xfe\xff", "not JSON that can be read"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"model":' * 500_000, "nested too deeply"),
        (b'{"model": ' + b"9" * 100_000 + b"}", "too many digits"),
        (b'{"model": NaN}', "NaN is no number in JSON"),
        (b'{"model": -Infinity}', "-Infinity is no number"),
        (b"[1]", "The JSON is a list of 1: send an object with model, input"),
        (b'"x"', "The JSON is the text 'x'"),
    ],
)
def test_no_json_is_read_that_is_none(body, words):
    with pytest.raises(Refused, match=words) as found:
        embeddings_asked(body, LIMITS)
    assert found.value.status == 400


def test_of_a_field_that_is_there_twice_the_last_counts():
    (one,) = embeddings_asked(b'{"model": "m", "input": "x", "input": "y"}', LIMITS).inputs
    assert one.text == "y"


def test_a_request_has_limits():
    assert "65 inputs are too many: one request has at most 64" in str(refused(input=["x"] * 65))
    assert "has 200,001 characters, and at most 200,000" in str(refused(input="x" * 200_001))
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


@pytest.mark.parametrize("side", [6_400, 9_600, 14_000, 60_000])  # PIL warns from 9,500 on, and refuses from 13,400
def test_a_bomb_of_pixels_is_refused_by_its_head_and_without_a_warning(side):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"the picture has {side:,} x {side:,} pixels, and at most 40,000,000" in str(
            refused(input=as_url(bomb(side)))
        )


def written(format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:text/plain;base64,aGFsbG8=", "a data URL of text/plain is no picture"),
        ("data:;base64,aGFsbG8=", "a data URL of text/plain is no picture"),
        ("data:application/pdf;base64,aGFsbG8=", "application/pdf is no picture"),
        ("data:image/png,hallo", "is not in base64"),
        ("data:image/png", "this is no data URL"),
        ("DATA:IMAGE/png;base64", "this is no data URL"),
        ("data:image/png;base64,", "holds no picture"),
        ("data:image/png;base64,aGFsbG8", "is no base64"),
        ("data:image/png;base64,aGFs bG8=", "is no base64"),
        ("data:image/png;base64,aGFsbG8=\n", "is no base64"),
        ("data:image/png;base64,aGFs_-8=", "is no base64"),
        ("data:image/png;base64,aGFsbG\u00fc=", "is no base64"),
        ("data:image/png;base64,https://example.com/cat.png", "is no base64"),
        (as_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "send PNG, JPEG, WebP"),
        (as_url(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/eps"), "holds no picture"),
        (as_url(written("tiff"), "image/tiff"), "holds no picture"),
        (as_url(written("png")[:20]), "Input 1: the PNG picture is damaged or not whole"),
        (as_url(written("webp")[:30]), "the WEBP picture is damaged or not whole"),
    ],
)
def test_a_data_url_that_is_no_picture_is_refused_with_its_number(url, words):
    found = refused(input=["x", url])
    assert str(found).startswith("Input 2: ") and words.removeprefix("Input 1: ") in str(found)
