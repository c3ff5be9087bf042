"""Weights of frames, which pictures they go with, and a schedule of prompts in their time."""

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

CUSTOM, RANDOM = "custom", "random"
TIMINGS: Mapping[str, Callable[[float], float]] = {  # position between two weights, 0..1 -> share of the second
    "linear": lambda x: x,
    "ease_in_out": lambda x: (1 - math.cos(math.pi * x)) / 2,
    "ease_in": lambda x: math.sin(math.pi * x / 2),  # the names of these two are the other way round elsewhere
    "ease_out": lambda x: 1 - math.cos(math.pi * x / 2),
    RANDOM: lambda x: random.SystemRandom().random(),  # leaves the generators of others alone
}
FULL, SHIFT, ALTERNATE = "full batch", "shift batches", "alternate batches"
METHODS = (FULL, SHIFT, ALTERNATE)


@dataclass(frozen=True)
class Strategy:
    """How frames are weighted, as it is typed into a node.

    weights: numbers, separated by commas or new lines
    timing: "custom" (the numbers are the weights), or how the weights go from the first number to the last
    frames: how many; read only where the timing is not custom
    start_frame, end_frame: between which the weights change
    add_starting_frames, add_ending_frames: how often the first and the last weight and picture are repeated
    method: how the frames of a batch of pictures follow each other, one of `METHODS`
    frame_count: pictures in the batch
    """

    weights: str = "1.0, 0.0"
    timing: str = "linear"
    frames: int = 0
    start_frame: int = 0
    end_frame: int = 9999
    add_starting_frames: int = 0
    add_ending_frames: int = 0
    method: str = FULL
    frame_count: int = 1

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Strategy":
        """The strategy in a dict, as sockets carry it. What it lacks has its default."""
        return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})


@dataclass(frozen=True)
class Frames:
    """The weights of frames, and which picture of the batch each shows first and second; empty if there are none."""

    weights: list[float]
    first: list[int] = field(default_factory=list[int])
    second: list[int] = field(default_factory=list[int])


def weighed_frames(strategy: Strategy, pictures: int) -> Frames:
    """The weights of the frames that a strategy makes of a number of pictures, 0 if there are none.

    Raises:
        ValueError: the weights cannot be read.
    """
    weights = once(strategy)
    if not pictures:
        return Frames(weights)
    pairs = _pairs(pictures, strategy.method)
    mirrored = [max(weights) + min(weights) - each for each in weights]
    runs = [mirrored if strategy.method == ALTERNATE and run % 2 else weights for run in range(len(pairs))]
    middle = [weight for run in runs for weight in run]
    before, after = strategy.add_starting_frames, strategy.add_ending_frames
    shown = [(0, 0)] * before + [pair for pair in pairs for _ in weights] + [(pictures - 1, pictures - 1)] * after
    return Frames(
        [middle[0]] * before + middle + [middle[-1]] * after,
        [first for first, _ in shown],
        [] if strategy.method == FULL else [second for _, second in shown],
    )


def once(strategy: Strategy) -> list[float]:
    """The weights of one run through the frames."""
    numbers = _numbers(strategy.weights)
    if strategy.timing == CUSTOM:
        return numbers or [0.0]
    first, last = (numbers[0], numbers[-1]) if numbers else (0.0, 1.0)
    count = max(strategy.frames, 2)
    start, end = strategy.start_frame, min(strategy.end_frame, count)
    shares = [_share(frame, start, end, TIMINGS[strategy.timing]) for frame in range(count)]
    weights = [first + (last - first) * share for share in shares]
    return weights if strategy.timing == RANDOM else [*weights[:-1], last]


def scheduled(strategy: Strategy, prompt: str) -> str:
    """One line for each picture of a strategy: the number of its first frame, and a line of the prompt.

    The last line of the prompt is for all pictures beyond it.
    """
    lines = [line for line in prompt.splitlines() if line.strip()] or [""]
    told = [lines[min(number, len(lines) - 1)] for number in range(strategy.frame_count)]
    before, length = strategy.add_starting_frames, strategy.frames
    schedule = [(number * length + before, line) for number, line in enumerate(told)]
    if before:
        schedule.insert(0, (0, told[0]))
    if strategy.add_ending_frames:
        schedule.append((strategy.frame_count * length + before, told[-1]))
    return "\n".join(f'"{frame}": "{line}",' for frame, line in schedule)


def _numbers(text: str) -> list[float]:
    """The numbers in a text, with any number of commas and new lines between them and at the end."""
    try:
        numbers = [float(part) for part in re.split("[,\n]", text) if part.strip()]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"The weights are {text[:60]!r}: write numbers, separated by commas or new lines, such as 1.0, 0.5, 0.0."
        )
    return numbers


def _share(frame: int, start: int, end: int, timing: Callable[[float], float]) -> float:
    """The share of the last weight in a frame. A change of one frame is at its begin."""
    if frame < start:
        return 0.0
    return timing((frame - start) / max(end - start - 1, 1)) if frame < end else 1.0


def _pairs(pictures: int, method: str) -> list[tuple[int, int]]:
    """The pictures that each run through the weights shows first and second. A single picture stays where it is."""
    if method == FULL or pictures == 1:
        return [(number, number) for number in range(pictures)]
    turns = [method == ALTERNATE and number % 2 for number in range(pictures - 1)]
    return [(number + 1, number) if turned else (number, number + 1) for number, turned in enumerate(turns)]
