"""Weights of the pictures of a batch, such as the frames of a film, that are typed in as text."""

from __future__ import annotations

import re

from .weight_text import quoted, weight

FRAMES = 100_000  # more pictures than any film has
FRAME = re.compile(r"(\d{1,9})\s*:(.*)", re.ASCII)


def parse_frame_weights(text: str) -> tuple[float, ...]:
    """The weight of each picture of a batch: a list of numbers, or `number of a picture:weight` with ways between.

    Raises:
        ValueError: the text says something else, or pictures are not in order.
    """
    words = [word.strip() for word in re.split(r"[,\n]", text.strip())] if text.strip() else []
    if not any(":" in word for word in words):
        return tuple(weight(word, f"Frame weight {number}") for number, word in enumerate(words, 1))
    known: list[tuple[int, float]] = []
    for word in words:
        match = FRAME.fullmatch(word)
        if match is None:
            raise ValueError(f"{quoted(word)} is no picture with a weight: write frame weights like '0:1, 29:0'.")
        frame, value = int(match[1]), weight(match[2].strip(), f"The weight of picture {match[1]}")
        if known and frame <= known[-1][0]:
            raise ValueError(
                f"The frame weights name picture {frame} after picture {known[-1][0]}: put them in order, each once."
            )
        if frame >= FRAMES:
            raise ValueError(f"The frame weights name picture {frame}: pictures are numbered from 0 to {FRAMES - 1}.")
        known.append((frame, value))
    first = [known[0][1]] * known[0][0]
    ways = [
        low + (high - low) * (frame - start) / (end - start)
        for (start, low), (end, high) in zip(known, known[1:])
        for frame in range(start, end)
    ]
    return (*first, *ways, known[-1][1])
