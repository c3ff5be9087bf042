"""The part of a picture that a crop takes: what one table says, here and in the browser, and what PIL cuts out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from image_prompt.clip_vision import crop_box, fit, read_box, tile_boxes

TABLE = json.loads(Path(__file__).with_name("boxes.json").read_text())
RED = (1.0, 0.0, 0.0)


@pytest.mark.parametrize("row", TABLE["crops"], ids=str)
def test_a_crop_takes_what_the_table_says(row):
    if row["edges"] is None:
        with pytest.raises(ValueError, match="lies beside the picture of .* pixels: give left, top and side"):
            crop_box(row["height"], row["width"], row["crop"])
    else:
        assert [*crop_box(row["height"], row["width"], row["crop"])] == row["edges"]


@pytest.mark.parametrize("row", TABLE["tiles"], ids=str)
def test_tiles_lie_where_the_table_says(row):
    if row["edges"] is None:
        with pytest.raises(ValueError, match="ask for fewer"):
            tile_boxes(row["height"], row["width"], row["along"])
    else:
        assert [[*box.edges] for box in tile_boxes(row["height"], row["width"], row["along"])] == row["edges"]


@pytest.mark.parametrize("row", TABLE["texts"], ids=lambda row: row["text"])
def test_a_text_is_read_as_the_table_says(row):
    if row.get("error"):
        with pytest.raises(ValueError, match="The box is '.*: give left, top and side, such as 0.25, 0.1, 0.5: parts"):
            read_box(row["text"])
    else:
        assert read_box(row["text"]) == (row["box"] and tuple(row["box"]))


SQUARES = [(0.25, 0.1, 0.5), (-0.2, 0.3, 1.0), (0.6, 0.7, 1.5), (-0.1, -0.2, 4), (0.3, 0.3, 0.01)]


@pytest.mark.parametrize("square", SQUARES, ids=str)
@pytest.mark.parametrize("size", [(70, 30), (31, 90), (33, 33)], ids=str)
def test_the_encoder_sees_the_square_that_pil_cuts_out(square, size):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    top, left, bottom, right = crop_box(image.height, image.width, square)
    theirs = Image.new("RGB", (right - left, bottom - top), (255, 0, 0))
    theirs.paste(image, (-left, -top))
    theirs = torch.tensor(np.asarray(theirs.resize((24, 24), Image.Resampling.BICUBIC))) / 255
    assert torch.equal(fit(image, 24, square, RED)[0], theirs)
    assert torch.equal(fit([image, image], 24, list(square), RED)[1], theirs)


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ((0.1, 0.2), r"Unknown crop \(0.1, 0.2\). Known: center, .*, squash, or \(left, top, side\)"),
        ((0.1, 0.2, "wide"), "Unknown crop"),
        ((0.1, 0.2, 0.0), "The box is .*: give left, top and side"),
        ((0.1, float("nan"), 1.0), "The box is .*: give left, top and side"),
        (None, "Unknown crop None"),
    ],
)
def test_what_is_no_crop_is_refused(crop, message):
    with pytest.raises(ValueError, match=message):
        fit(torch.zeros(8, 8, 3), 16, crop)
