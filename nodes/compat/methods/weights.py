"""The nodes that weigh the frames of a film, and schedule its prompts."""

from dataclasses import fields, replace
from typing import Any

import torch

from ... import input_checks
from ..formulas.frame_weights import (
    CUSTOM,
    FULL,
    METHODS,
    TIMINGS,
    Strategy,
    scheduled,
    weighed_frames,
)
from ..inputs import choice, number, optional, socket, text, whole
from ..node import CompatNode, Node, Output, called
from ..reading import read_weights

ALL_TIMINGS = (CUSTOM, *TIMINGS)
MOST_FRAMES = 9999
COUNTS = {  # of a strategy -> the least number
    "frames": 0,
    "start_frame": 0,
    "end_frame": 0,
    "add_starting_frames": 0,
    "add_ending_frames": 0,
    "frame_count": 1,
}
_NONE = torch.empty(0)
Weighed = tuple[list[float], list[float], int, torch.Tensor | None, torch.Tensor | None, dict[str, Any]]


def weights(
    self: CompatNode,
    weights: Any = "1.0, 0.0",
    timing: Any = "linear",
    frames: Any = 0,
    start_frame: Any = 0,
    end_frame: Any = MOST_FRAMES,
    add_starting_frames: Any = 0,
    add_ending_frames: Any = 0,
    method: Any = FULL,
    image: Any = None,
) -> Weighed:
    """The weights of the frames and the same backwards, their number, their pictures, and how they are weighed.

    Without pictures the pictures are None. Those that are shown second are None too if frames follow one another.
    """
    strategy = {
        "weights": weights,
        "timing": timing,
        "frames": frames,
        "start_frame": start_frame,
        "end_frame": end_frame,
        "add_starting_frames": add_starting_frames,
        "add_ending_frames": add_ending_frames,
        "method": method,
        "frame_count": 1 if image is None else len(_pictures(image)),
    }
    return _weighed(strategy, image)


@called("weights")
def weights_from_strategy(self: CompatNode, weights_strategy: Any, image: Any = None) -> Weighed:
    """What `weights` gives for these pictures, weighed as others were."""
    return _weighed(weights_strategy, image)


def prompt_schedule(self: CompatNode, weights_strategy: Any, prompt: Any = "") -> tuple[str]:
    """A line for each picture, in the form of nodes that schedule prompts."""
    return (
        scheduled(
            read_strategy(weights_strategy), input_checks.expect(prompt, str, "prompt", "write a line for each picture")
        ),
    )


def combine(self: CompatNode, weights_1: Any = 0.0, weights_2: Any = 0.0) -> tuple[list[float], int]:
    """The weights of two runs of frames, one after the other, and their number."""
    both = [*read_weights(weights_1, True, "weights_1"), *read_weights(weights_2, True, "weights_2")]
    return both, len(both)


def read_strategy(value: Any) -> Strategy:
    """Check how frames are weighed, as WEIGHTS_STRATEGY carries it."""
    advice = "connect the weights_strategy of IPAdapter Weights"
    if not any(each.name in input_checks.expect(value, dict, "weights_strategy", advice) for each in fields(Strategy)):
        raise ValueError(f"The weights_strategy is {input_checks.described(value)}: {advice}.")
    strategy = Strategy.of(value)
    input_checks.expect(strategy.weights, str, "input weights", "write numbers, separated by commas")
    input_checks.choice(strategy.timing, ALL_TIMINGS, "timing")
    input_checks.choice(strategy.method, METHODS, "method")
    counts = {name: input_checks.whole(getattr(strategy, name), low, MOST_FRAMES, name) for name, low in COUNTS.items()}
    return replace(strategy, **counts)


def _weighed(given: Any, image: Any) -> Weighed:
    pictures = _NONE if image is None else _pictures(image)
    found = weighed_frames(read_strategy(given), len(pictures))
    first, second = (pictures[numbers] if numbers else None for numbers in (found.first, found.second))
    return found.weights, found.weights[::-1], len(found.weights), first, second, dict(given)


def _pictures(image: Any) -> torch.Tensor:
    if not len(input_checks.image(image)):
        raise ValueError("The image is a batch without pictures: connect one with some, or none.")
    return image


_STRATEGY = socket("weights_strategy", "WEIGHTS_STRATEGY")
_PICTURES = optional(socket("image", "IMAGE"))
_OUTPUTS = (
    Output("FLOAT", "weights"),
    Output("FLOAT", "weights_invert"),
    Output("INT", "total_frames"),
    Output("IMAGE", "image_1"),
    Output("IMAGE", "image_2"),
    Output("WEIGHTS_STRATEGY", "weights_strategy"),
)
_PER_FRAME = "In new graphs type the weights of frames into the input frame_weights of Image Prompt Reference."

ROWS = (
    Node(
        "IPAdapterWeights",
        "IPAdapter Weights",
        (
            text("weights", "1.0, 0.0", multiline=True),
            choice("timing", *ALL_TIMINGS, default="linear"),
            whole("frames", 0, 0, MOST_FRAMES, step=1),
            whole("start_frame", 0, 0, MOST_FRAMES, step=1),
            whole("end_frame", MOST_FRAMES, 0, MOST_FRAMES, step=1),
            whole("add_starting_frames", 0, 0, MOST_FRAMES, step=1),
            whole("add_ending_frames", 0, 0, MOST_FRAMES, step=1),
            choice("method", *METHODS, default=FULL),
            _PICTURES,
        ),
        _OUTPUTS,
        weights,
        _PER_FRAME,
    ),
    Node(
        "IPAdapterCombineWeights",
        "IPAdapter Combine Weights",
        (number("weights_1", 0.0, 0.0, 1.0), number("weights_2", 0.0, 0.0, 1.0)),
        (Output("FLOAT", "weights"), Output("INT", "count")),
        combine,
        _PER_FRAME,
    ),
    Node(
        "IPAdapterWeightsFromStrategy",
        "IPAdapter Weights From Strategy",
        (_STRATEGY, _PICTURES),
        _OUTPUTS,
        weights_from_strategy,
        _PER_FRAME,
    ),
    Node(
        "IPAdapterPromptScheduleFromWeightsStrategy",
        "Prompt Schedule From Weights Strategy",
        (_STRATEGY, text("prompt", multiline=True)),
        (Output("STRING", "prompt_schedule"),),
        prompt_schedule,
        "New graphs do not need it: write the schedule into the node that reads it.",
    ),
)
