"""Readers of texts that people type into nodes: weights and boxes."""

from collections.abc import Callable
from pathlib import Path

from shapes import texts_of
from target import Target

from image_prompt.clip_vision.pictures.boxes import read_box
from image_prompt.ip_adapter.frame_weights import FRAMES, parse_frame_weights
from image_prompt.ip_adapter.layer_weights.kinds import parse_layer_weights
from image_prompt.ip_adapter.layers import Block
from image_prompt.ip_adapter.step_weights import parse_step_weights, step_table, step_text


def typed(read: Callable[[str], object]) -> Callable[[bytes, Path], object]:
    """What is typed in is text. Bytes that are none become halves of surrogate pairs, which JSON can hold."""
    return lambda data, folder: read(data.decode("utf-8", "surrogateescape"))


def steps(text: str) -> None:
    found = parse_step_weights(text)
    assert parse_step_weights(step_text(found)) == found
    step_table(found)


def frames(text: str) -> None:
    assert len(parse_frame_weights(text)) <= FRAMES


BLOCKS = [Block("input", number, 0, 320) for number in range(6)]


def layers(text: str) -> None:
    for by in ("blocks", "layers"):
        parse_layer_weights(text, by).shares(BLOCKS, "SD1.5")


WORDS = ("0:1", ", ", "0.5:0 ease in", "hold", "linear", "1e-3", "-5", "+.5", "1e999", "inf", "nan", "²", "٣", "١:١")
in_text = texts_of(*WORDS)

TARGETS: dict[str, Target] = {
    "step weights": Target(
        typed(steps), lambda: [b"0:1.0, 0.3:0.2 ease in, 0.8:0", b"0.5", b"0:1\n0.5", b"0:1 hold,1:0"], in_text
    ),
    "frame weights": Target(typed(frames), lambda: [b"0:1, 29:0", b"1, 0.5\n0", b""], in_text, runs=20_000),
    "layer weights": Target(typed(layers), lambda: [b"1, 0.5, 0", b"3:0.5, 5:1"], in_text),
    "box": Target(typed(read_box), lambda: [b"0.25, 0.1, 0.5", b" "], in_text),
}
