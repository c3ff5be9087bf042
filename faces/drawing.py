"""Draw the faces that were found: on the picture for people, and as key points for InstantID's ControlNet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .face import Array, Face

BOX, POINT = (255, 64, 64), (64, 255, 64)
# Of InstantID/InstantID, `draw_kps`: limbs from the eyes and the corners of the mouth to the nose, darkened, and points
LIMBS = ((0, 2), (1, 2), (3, 2), (4, 2))
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
LIMB_WIDTH, POINT_RADIUS, LIMB_LIGHT = 4, 10, 0.6
STEPS = 64  # points on the outline of a limb


def draw_faces(picture: Array, faces: Sequence[Face]) -> Array:
    """A copy of a picture (H, W, 3) of 8 bits with the box, the five points and the score of each face."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    draw = ImageDraw.Draw(image)
    thick = max(1, round(max(picture.shape[:2]) / 256))
    for face in faces:
        left, top, right, bottom = map(float, face.box)
        draw.rectangle((left, top, right, bottom), outline=BOX, width=thick)
        for x, y in face.points:
            draw.ellipse((x - thick, y - thick, x + thick, y + thick), fill=POINT)
        draw.text((left + thick, max(top - 12 - thick, 0)), f"{face.score:.2f}", fill=BOX)
    return np.asarray(image)


def draw_key_points(faces: Sequence[Face], width: int, height: int) -> Array:
    """The five points of faces on black, as InstantID's ControlNet reads them: (height, width, 3), 8 bits."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for face in faces:
        for start, end in LIMBS:
            draw.polygon(_limb(face.points[start], face.points[end]), fill=COLOURS[start])
    image = Image.fromarray((np.asarray(image) * LIMB_LIGHT).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for face in faces:
        for (x, y), colour in zip(face.points, COLOURS):
            centre = int(x), int(y)
            draw.ellipse(
                [each + way * POINT_RADIUS for way in (-1, 1) for each in centre],
                fill=colour,
            )
    return np.asarray(image)


def _limb(start: Array, end: Array) -> list[tuple[float, float]]:
    """The outline of an ellipse from one point to another, on whole pixels and degrees as in the original."""
    x, y = (int(each) for each in (start + end) / 2)
    across, down = (float(each) for each in start - end)
    half, angle = int(math.hypot(across, down) / 2), math.radians(int(math.degrees(math.atan2(down, across))))
    turns = (2 * math.pi * step / STEPS for step in range(STEPS))
    return [
        (
            x + half * math.cos(turn) * math.cos(angle) - LIMB_WIDTH * math.sin(turn) * math.sin(angle),
            y + half * math.cos(turn) * math.sin(angle) + LIMB_WIDTH * math.sin(turn) * math.cos(angle),
        )
        for turn in turns
    ]
