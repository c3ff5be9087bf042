"""The nodes that prepare pictures for an encoder, or make noise of them."""

from typing import Any

import torch

from ... import input_checks
from ..formulas.noise import KINDS, noisy
from ..formulas.pictures import FILTERS, PAD, POSITIONS, for_faces, prepared
from ..inputs import IMAGE, SHARPENING, choice, number, optional, socket, switch, whole
from ..node import CompatNode, Node, Output, called
from ..reading import read_switch

CROP_POSITIONS = (*POSITIONS, PAD)
FACE_POSITIONS = ("center", "top", "bottom", "left", "right")
MOST_BLUR = 32


def prep_image(
    self: CompatNode,
    image: Any,
    interpolation: Any = "LANCZOS",
    crop_position: Any = "top",
    sharpening: Any = 0.0,
) -> tuple[torch.Tensor]:
    """Squares of the size that an encoder reads."""
    return (
        prepared(
            input_checks.image(image),
            input_checks.choice(interpolation, [*FILTERS], "interpolation"),
            input_checks.choice(crop_position, CROP_POSITIONS, "crop_position"),
            input_checks.number(sharpening, 0.0, 1.0, "sharpening"),
        ),
    )


@called("prep_image")
def prep_face(
    self: CompatNode,
    image: Any,
    crop_position: Any = "center",
    sharpening: Any = 0.0,
    pad_around: Any = True,
) -> tuple[torch.Tensor]:
    """Squares of the size in which faces are found best."""
    return (
        for_faces(
            input_checks.image(image),
            input_checks.choice(crop_position, FACE_POSITIONS, "crop_position"),
            input_checks.number(sharpening, 0.0, 1.0, "sharpening"),
            read_switch(pad_around, "pad_around"),
        ),
    )


def make_noise(
    self: CompatNode,
    type: Any = "fade",
    strength: Any = 1.0,
    blur: Any = 0,
    image_optional: Any = None,
) -> tuple[torch.Tensor]:
    """Noise, for use as a negative image."""
    return (
        noisy(
            None if image_optional is None else input_checks.image(image_optional, "image_optional"),
            input_checks.choice(type, [*KINDS], "type"),
            input_checks.number(strength, 0.0, 1.0, "strength"),
            input_checks.whole(blur, 0, MOST_BLUR, "blur"),
        ),
    )


_IMAGE = (Output("IMAGE", "IMAGE"),)

ROWS = (
    Node(
        "PrepImageForClipVision",
        "Prep Image For ClipVision",
        (IMAGE, choice("interpolation", *FILTERS), choice("crop_position", *CROP_POSITIONS), SHARPENING),
        _IMAGE,
        prep_image,
        "In new graphs connect the picture to Encode Image Prompt, which cuts and resizes it itself.",
    ),
    Node(
        "IPAdapterNoise",
        "IPAdapter Noise",
        (
            choice("type", *KINDS),
            number("strength", 1.0, 0, 1),
            whole("blur", 0, 0, MOST_BLUR, step=1),
            optional(socket("image_optional", "IMAGE")),
        ),
        _IMAGE,
        make_noise,
        "In new graphs use any picture that shows what is not wanted as the negative of Apply IP-Adapter.",
    ),
    Node(
        "PrepImageForInsightFace",
        "Prepare Image For InsightFace",
        (IMAGE, choice("crop_position", *FACE_POSITIONS), SHARPENING, switch("pad_around", True)),
        (Output("IMAGE"),),
        prep_face,
        "New graphs do not need it: connect the picture itself to the node that finds the face.",
    ),
)
