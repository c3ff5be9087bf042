"""The node that applies an adapter with few inputs."""

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ... import input_checks
from ...applying.attach import attach
from ..inputs import ATTN_MASK, END_AT, IMAGE, IPADAPTER, MODEL, START_AT, WEIGHT, choice, today
from ..node import CompatNode, Node, Output
from ..reading import read_acting
from ..wired import Wires, picture_prompts

WEIGHT_TYPES = {"standard": "linear", "prompt is more important": "ease out", "style transfer": "style transfer"}


def apply_ipadapter(
    self: CompatNode,
    model: Any,
    ipadapter: Any,
    image: Any,
    weight: Any = 1.0,
    start_at: Any = 0.0,
    end_at: Any = 1.0,
    weight_type: Any = "standard",
    attn_mask: Any = None,
) -> tuple[ModelPatcher, torch.Tensor | None]:
    """The model, and the faces that were found in the picture; None if the adapter reads none."""
    wires = Wires(self, model, ipadapter)
    name = WEIGHT_TYPES[input_checks.choice(today(weight_type), list(WEIGHT_TYPES), "weight_type")]
    acting = read_acting(weight, name, start_at, end_at, "V only", by_picture=False)
    return attach(wires.model, picture_prompts(wires, image, acting, attn_mask)), wires.faces.pictures


ROWS = (
    Node(
        "IPAdapter",
        "IPAdapter",
        (MODEL, IPADAPTER, IMAGE, WEIGHT, START_AT, END_AT, choice("weight_type", *WEIGHT_TYPES), ATTN_MASK),
        (Output("MODEL", "MODEL"),),
        apply_ipadapter,
        "In new graphs use Load Image Prompt Models, Encode Image Prompt and Apply IP-Adapter.",
    ),
)
