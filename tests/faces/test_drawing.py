"""Drawings of faces: for people, and as InstantID draws them for its ControlNet."""

import math

import cv2
import numpy as np

from image_prompt.faces import Face, draw_faces, draw_key_points

POINTS = np.array([[100, 120], [180, 110], [145, 160], [115, 200], [175, 195]], np.float32)
FACE = Face(np.array([80.0, 90.0, 200.0, 230.0]), 0.87, POINTS, np.ones(512), 640)


def by_opencv(points, width, height):
    """The picture of InstantID: limbs as ellipses from the nose, darkened, then a disc at each point."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]
    out = np.zeros((height, width, 3), np.uint8)
    for start, end in ((0, 2), (1, 2), (3, 2), (4, 2)):
        x, y = points[[start, end], 0], points[[start, end], 1]
        length = math.hypot(x[0] - x[1], y[0] - y[1])
        angle = math.degrees(math.atan2(y[0] - y[1], x[0] - x[1]))
        outline = cv2.ellipse2Poly((int(x.mean()), int(y.mean())), (int(length / 2), 4), int(angle), 0, 360, 1)
        out = cv2.fillConvexPoly(out.copy(), outline, colours[start])
    out = (out * 0.6).astype(np.uint8)
    for colour, (x, y) in zip(colours, points):
        out = cv2.circle(out.copy(), (int(x), int(y)), 10, colour, -1)
    return out


def test_key_points_are_drawn_as_instantid_draws_them():
    found, expected = draw_key_points([FACE], 320, 280), by_opencv(POINTS, 320, 280)
    assert found.shape == expected.shape
    around = np.ones((3, 3), np.uint8)
    inside = (cv2.erode(expected, around) == cv2.dilate(expected, around)).all(-1)  # not on an outline
    assert inside[expected.any(-1)].sum() > 1500
    np.testing.assert_array_equal(found[inside], expected[inside])


def test_several_faces_are_drawn_and_none_is_black():
    other = Face(FACE.box, 0.5, POINTS + 90, FACE.embedding, 640)
    both = draw_key_points([FACE, other], 320, 320)
    assert (both[120, 100] == (255, 0, 0)).all() and (both[210, 190] == (255, 0, 0)).all()
    assert not draw_key_points([], 32, 16).any()


def test_the_box_the_points_and_the_score_are_drawn_on_the_picture():
    picture = np.full((280, 320, 3), 50, np.uint8)
    drawn = draw_faces(picture, [FACE])
    changed = (drawn != picture).any(-1)
    assert changed[90, 80:200].all() and changed[90:230, 80].all()
    assert all(changed[int(y), int(x)] for x, y in POINTS)
    assert changed[78:92, 82:120].sum() > 10  # the score
    assert (picture == 50).all()
