"""The nodes that give regions a picture and a prompt."""

from typing import Any

import node_helpers
import torch

from ... import input_checks
from ..formulas.pictures import checked
from ..inputs import END_AT, IMAGE, START_AT, WEIGHT_TYPE, WEIGHT_TYPE_NAMES, number, optional, socket, today
from ..node import CompatNode, Node, Output
from ..reading import read_mask, read_weights

PARAMS = ("image", "attn_mask", "weight", "weight_type", "start_at", "end_at")
STRONGEST_PROMPT = 10.0
Params = dict[str, list[Any]]  # lists of one length, with an entry for each region


def conditioning(
    self: CompatNode,
    image: Any,
    image_weight: Any = 1.0,
    prompt_weight: Any = 1.0,
    weight_type: Any = "linear",
    start_at: Any = 0.0,
    end_at: Any = 1.0,
    mask: Any = None,
    positive: Any = None,
    negative: Any = None,
) -> tuple[Params, list[Any] | None, list[Any] | None]:
    """How a picture acts in a region, and the prompts that act there, None if there is none.

    `prompt_weight` is for prompts with a mask.
    """
    read_weights(image_weight, True, "image_weight")
    region = {
        "image": checked(input_checks.image(image)),
        "attn_mask": mask,
        "weight": image_weight,
        "weight_type": input_checks.choice(today(weight_type), WEIGHT_TYPE_NAMES, "weight_type"),
        "start_at": input_checks.number(start_at, 0.0, 1.0, "start_at"),
        "end_at": input_checks.number(end_at, 0.0, 1.0, "end_at"),
    }
    strength = input_checks.number(prompt_weight, 0.0, STRONGEST_PROMPT, "prompt_weight")
    prompts = {"positive": positive, "negative": negative}
    within = read_mask(mask, "mask")
    masked = [_masked(prompt, name, within, strength) for name, prompt in prompts.items()]
    return {name: [value] for name, value in region.items()}, masked[0], masked[1]


def combine(
    self: CompatNode, params_1: Any, params_2: Any, params_3: Any = None, params_4: Any = None, params_5: Any = None
) -> tuple[Params]:
    """The regions of all, in their order."""
    given = {
        "params_1": params_1,
        "params_2": params_2,
        "params_3": params_3,
        "params_4": params_4,
        "params_5": params_5,
    }
    needed = ("params_1", "params_2")
    read = [read_params(each, name) for name, each in given.items() if each is not None or name in needed]
    return ({name: [value for each in read for value in each[name]] for name in PARAMS},)


def read_params(value: Any, name: str) -> Params:
    """Check regions as IPADAPTER_PARAMS carries them."""
    advice = "connect the IPADAPTER_PARAMS of IPAdapter Regional Conditioning"
    lists = [input_checks.expect(value, dict, name, advice).get(each) for each in PARAMS]
    if not all(isinstance(each, list) for each in lists) or len({len(each) for each in lists}) > 1:
        raise ValueError(f"The {name} do not hold one entry for each region: {advice}.")
    return value


def _masked(prompt: Any, name: str, mask: torch.Tensor | None, strength: float) -> list[Any] | None:
    """A prompt that acts within a mask, as a copy."""
    if prompt is None:
        return None
    input_checks.conditioning(prompt, name)
    if mask is None:
        return prompt
    values = {"mask": mask, "mask_strength": strength, "set_area_to_bounds": False}
    return node_helpers.conditioning_set_values(prompt, values)


_PARAMS = Output("IPADAPTER_PARAMS", "IPADAPTER_PARAMS")
_BY_REGION = "In new graphs use Image Prompt Reference with a mask for each region, and Apply References."

ROWS = (
    Node(
        "IPAdapterRegionalConditioning",
        "IPAdapter Regional Conditioning",
        (
            IMAGE,
            number("image_weight", 1.0, -1.0, 3.0),
            number("prompt_weight", 1.0, 0.0, STRONGEST_PROMPT),
            WEIGHT_TYPE,
            START_AT,
            END_AT,
            optional(socket("mask", "MASK")),
            optional(socket("positive", "CONDITIONING")),
            optional(socket("negative", "CONDITIONING")),
        ),
        (_PARAMS, Output("CONDITIONING", "POSITIVE"), Output("CONDITIONING", "NEGATIVE")),
        conditioning,
        _BY_REGION,
    ),
    Node(
        "IPAdapterCombineParams",
        "IPAdapter Combine Params",
        (
            *(socket(f"params_{number}", "IPADAPTER_PARAMS") for number in (1, 2)),
            *(optional(socket(f"params_{number}", "IPADAPTER_PARAMS")) for number in (3, 4, 5)),
        ),
        (_PARAMS,),
        combine,
        _BY_REGION,
    ),
)
