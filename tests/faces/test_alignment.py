"""Alignment equals that of insightface, and its crops those of OpenCV."""

import tracemalloc

import cv2
import numpy as np
import pytest
from insightface.utils import face_align
from PIL import Image

from image_prompt.faces import TEMPLATES, align, crop_box, similarity
from image_prompt.faces.sampling import resized, warp

POINTS = {
    "upright": [[500, 300], [560, 310], [525, 345], [500, 370], [550, 378]],
    "turned": [[600, 250], [590, 330], [550, 280], [520, 240], [510, 320]],
    "at the edge": [[5, 12], [60, 8], [30, 40], [12, 70], [55, 66]],
}
SIZES = (112, 128, 224, 256, 336)


def difference(a, b):
    """The largest and the mean difference of two pictures, in steps of 8 bits."""
    apart = np.abs(a.astype(int) - b.astype(int))
    return apart.max(), apart.mean()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # insightface calls scikit-image in an old way
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_an_aligned_face_is_that_of_insightface(photo, points, size):
    points = np.array(points, np.float32)
    template = "arcface" if size % 112 == 0 else "arcface 128"
    expected = face_align.estimate_norm(points, size)
    np.testing.assert_allclose(similarity(points, TEMPLATES[template].at(size)), expected, atol=1e-4)
    largest, mean = difference(align(photo, points, size), face_align.norm_crop(photo, points, size))
    assert largest <= 8 and mean <= 2


def test_the_template_of_pulid_lies_on_grey(photo):
    points = np.array(POINTS["at the edge"], np.float32)
    matrix, _ = cv2.estimateAffinePartial2D(points, np.array(TEMPLATES["ffhq"].points))
    expected = cv2.warpAffine(
        photo, similarity(points, TEMPLATES["ffhq"].at(512)), (512, 512), borderValue=(132, 133, 135)
    )
    found = align(photo, points, 512, "ffhq")
    assert difference(found, expected)[0] <= 8
    assert (found[0, 0] == (132, 133, 135)).all()
    assert np.abs(matrix - similarity(points, TEMPLATES["ffhq"].at(512))).max() < 5  # by another method


@pytest.mark.parametrize(("value", "words"), [(40.0, "one and the same"), (np.nan, "NaN or infinite")])
def test_five_points_that_say_no_place_are_refused(photo, value, words):
    with pytest.raises(ValueError, match=words):
        align(photo, np.full((5, 2), value), 112)


def test_of_a_large_picture_only_the_face_is_computed():
    large = np.zeros((4000, 6000, 3), np.uint8)
    tracemalloc.start()
    try:
        align(large, TEMPLATES["arcface"].at(300) + (5000, 3000), 112)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < large.nbytes / 4


@pytest.mark.parametrize("width, height", [(640, 443), (100, 300), (1900, 1400), (1, 1)])
def test_resizing_is_that_of_opencv(photo, width, height):
    assert difference(resized(photo, width, height), cv2.resize(photo, (width, height)))[0] <= 1


def test_warping_is_that_of_opencv_also_beyond_the_picture(photo):
    matrix = np.array([[0.4, -0.3, 90.0], [0.3, 0.4, -60.0]])
    expected = cv2.warpAffine(photo, matrix, (500, 500), borderValue=(10, 20, 30))
    assert difference(warp(photo, matrix, 500, (10, 20, 30)), expected)[0] <= 8


def test_the_square_around_a_box_has_its_longer_side_and_is_black_outside_the_picture(photo):
    found = crop_box(photo, np.array([400.0, 200.0, 500.0, 360.0]), 160)
    np.testing.assert_array_equal(found, photo[200:360, 370:530])
    corner = crop_box(photo, np.array([-30.0, -40.0, 70.0, 80.0]), 120)
    np.testing.assert_array_equal(corner[40:, 40:], photo[:80, :80])
    assert not corner[:40].any() and not corner[:, :40].any()
    smaller = crop_box(photo, np.array([400.0, 200.0, 500.0, 360.0]), 64)
    expected = Image.fromarray(photo[200:360, 370:530]).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(smaller, np.asarray(expected))
    with pytest.raises(ValueError, match="which is empty"):
        crop_box(photo, np.array([40.0, 40.0, 40.0, 40.0]), 64)
