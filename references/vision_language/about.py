"""Which Qwen3-VL a model is, told by its sizes and by its weights."""

from __future__ import annotations

from torch import Tensor

from ...clip_vision.files.fingerprints import signs
from .backend import About

CONTEXT = 8192  # tokens that the official code reads at most
SIZES = {(28, 2048): "2B", (36, 2560): "4B", (36, 4096): "8B", (64, 5120): "32B"}  # (layers, width) of the text's part


def about_of(layers: int, width: int, last_matrix: Tensor, context: int = CONTEXT) -> About:
    """What is known of a model.

    layers, width: of the part that reads texts
    last_matrix: `mlp.down_proj.weight` of the last layer, of which the fingerprint is taken
    context: the most tokens that it was trained for
    """
    size = SIZES.get((layers, width), f"of {layers} layers, {width} wide")
    return About(f"Qwen3-VL {size}", width, signs(last_matrix), min(context, CONTEXT))
