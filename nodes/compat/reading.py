"""Check the inputs of nodes of cubiq/ComfyUI_IPAdapter_plus, which links and Python calls may give any value."""

import logging
import math
import re
from collections.abc import Mapping
from typing import Any, TypedDict, cast

import torch

from ...ip_adapter import ScalingName
from ...ip_adapter.layer_weights.preset import Taken
from .. import input_checks
from .execute import Weights
from .inputs import SCALING_NAMES, WEIGHT_TYPE_NAMES, today

EXPANDED = "strong style and composition"  # a weight type that no combo box offers
MOST_AT_ONCE = 1_000_000  # pictures
BETWEEN = re.compile(r",|\n(?=\s*-?\d+\s*:)")  # the weights of two blocks


class Acting(TypedDict):
    """The fields of an `Application` that say how strongly it acts, and when."""

    weights: Mapping[Taken, Weights]
    weight_type: str
    start: float
    end: float
    scaling: ScalingName
    by_picture: bool


def read_acting(
    weight: Any,
    weight_type: Any,
    start: Any,
    end: Any,
    scaling: Any,
    *,
    by_picture: bool,
    composition: Any = 1.0,
    boost: Any = None,
    name: str = "weight",
) -> Acting:
    """Check how strongly something acts, and when. A start after the end is no error: it never acts.

    composition, boost: the weights of layers that take another one; without a boost they take the weight
    name: of the input with the weight, for messages
    """
    weights = read_weights(weight, by_picture, name)
    return {
        "weights": {
            "weight": weights,
            "composition": read_weights(composition, by_picture, "weight_composition"),
            "boost": weights if boost is None else read_weights(boost, by_picture, "boost"),
        },
        "weight_type": input_checks.choice(today(weight_type), (*WEIGHT_TYPE_NAMES, EXPANDED), "weight_type"),
        "start": input_checks.number(start, 0.0, 1.0, "start_at"),
        "end": input_checks.number(end, 0.0, 1.0, "end_at"),
        "scaling": cast(ScalingName, input_checks.choice(scaling, SCALING_NAMES, "embeds_scaling")),
        "by_picture": by_picture,
    }


def read_weights(value: Any, by_picture: bool, name: str = "weight") -> Weights:
    """Check a weight: a number, or a list with one for each picture, of which only batch nodes take all.

    Raises:
        ValueError: it is neither, or not finite.
    """
    values = list(value) if isinstance(value, list | tuple) else [value]
    numbers = tuple(filter(math.isfinite, map(input_checks.as_float, values)))  # a bool is a number too
    if not numbers or len(numbers) < len(values):
        raise ValueError(
            f"The {name} is {input_checks.described(value)}: give a finite number, or a list of these, one for each "
            "picture."
        )
    if len(numbers) > 1 and not by_picture:
        logging.getLogger(__name__).warning(
            "The %s is a list of %d numbers, of which this node takes the first: use its batch kind for the others.",
            name,
            len(numbers),
        )
    return numbers if by_picture else numbers[:1]


def read_switch(value: Any, name: str) -> bool:
    """Check that a value is true or false, or 1 or 0."""
    if input_checks.as_float(value) not in (0.0, 1.0):
        raise ValueError(f"The {name} is {input_checks.described(value)}: it must be true or false.")
    return bool(value)


def check_batch_size(value: Any) -> None:
    """Check how many pictures are to be encoded at a time, which changes nothing here."""
    input_checks.whole(value, 0, MOST_AT_ONCE, "encode_batch_size")


def read_layer_weights(text: Any) -> dict[int, float] | None:
    """The weights of blocks that are typed in, such as `3:2.5, 6:1`, by their numbers; None if there are none.

    There may be spaces and line breaks. Later ones win, and blocks that the model does not have do nothing.

    Raises:
        ValueError: the text says something else.
    """
    if text is None:
        return None
    text = input_checks.expect(text, str, "layer_weights", "write such as 3:2.5, 6:1")
    pairs = [word.partition(":") for word in BETWEEN.split(text) if word.strip()]
    try:
        found = {int(number): float(weight) for number, _, weight in pairs}
    except ValueError:
        found = {0: math.nan}
    if not all(map(math.isfinite, found.values())):
        raise ValueError(
            f"The layer_weights are {input_checks.described(text)}: write the number of a block, a colon and its "
            "weight, with commas between, such as 3:2.5, 6:1. Blocks are counted from 0."
        )
    return found or None


def read_mask(mask: Any, name: str = "attn_mask") -> torch.Tensor | None:
    """Check a mask: (N, H, W), or (H, W) for a single one, of any finite values, as other packs make them."""
    if mask is None:
        return None
    advice = "connect a MASK output, which is (masks, height, width)"
    input_checks.expect(mask, torch.Tensor, name, advice)
    mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
    if mask.ndim != 3 or not mask.numel() or mask.is_complex():
        raise ValueError(f"The {name} is {input_checks.described(mask)}: {advice}.")
    if not input_checks.is_finite(mask.float()):
        raise ValueError(f"The {name} holds NaN or infinite numbers: check the node that makes it, or leave it out.")
    return mask.float()
