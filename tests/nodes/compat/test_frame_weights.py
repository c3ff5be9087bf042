"""Weights of frames, the pictures that they go with, and schedules of prompts."""

import math
import random
from dataclasses import asdict

import pytest
import torch

from image_prompt.nodes.compat.formulas.frame_weights import Strategy, once, scheduled, weighed_frames
from image_prompt.nodes.compat.methods.weights import ROWS
from image_prompt.nodes.compat.node import node_class

EXAMPLES = [  # what is typed, pictures, weights, the pictures of each frame
    ({"weights": "1.0, 0.0", "timing": "custom"}, 0, [1.0, 0.0], [], []),
    ({"weights": "0.2\n0.4,0.9", "timing": "custom"}, 0, [0.2, 0.4, 0.9], [], []),
    ({"weights": "1.0, 0.0", "timing": "linear", "frames": 5}, 0, [1.0, 0.75, 0.5, 0.25, 0.0], [], []),
    ({"weights": "0,1", "timing": "ease_in_out", "frames": 5}, 0, [0.0, 0.146447, 0.5, 0.853553, 1.0], [], []),
    ({"weights": "0,1", "timing": "ease_in", "frames": 5}, 0, [0.0, 0.382683, 0.707107, 0.92388, 1.0], [], []),
    ({"weights": "0,1", "timing": "ease_out", "frames": 5}, 0, [0.0, 0.07612, 0.292893, 0.617317, 1.0], [], []),
    (
        {"weights": "0,1", "timing": "linear", "frames": 6, "start_frame": 2, "end_frame": 5},
        0,
        [0.0, 0.0, 0.0, 0.5, 1.0, 1.0],
        [],
        [],
    ),
    ({"weights": "", "timing": "linear", "frames": 3}, 0, [0.0, 0.5, 1.0], [], []),
    ({"weights": "0.3", "timing": "linear", "frames": 3}, 0, [0.3, 0.3, 0.3], [], []),
    ({"weights": "", "timing": "custom"}, 0, [0.0], [], []),
    (
        {"weights": "0,1", "timing": "linear", "frames": 3},
        4,
        [0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0],
        [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
        [],
    ),
    (
        {"weights": "0,1", "timing": "linear", "frames": 3, "method": "shift batches"},
        4,
        [0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0],
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        [1, 1, 1, 2, 2, 2, 3, 3, 3],
    ),
    (
        {"weights": "0,1", "timing": "linear", "frames": 3, "method": "alternate batches"},
        4,
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0, 0.5, 1.0],
        [0, 0, 0, 2, 2, 2, 2, 2, 2],
        [1, 1, 1, 1, 1, 1, 3, 3, 3],
    ),
    (
        {"weights": "0.2,.8", "timing": "linear", "frames": 2, "method": "alternate batches"},
        3,
        [0.2, 0.8, 0.8, 0.2],
        [0, 0, 2, 2],
        [1, 1, 1, 1],
    ),
    (
        {
            "weights": "0,1",
            "timing": "linear",
            "frames": 2,
            "method": "full batch",
            "add_starting_frames": 2,
            "add_ending_frames": 1,
        },
        2,
        [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0],
        [0, 0, 0, 0, 1, 1, 1],
        [],
    ),
    (
        {
            "weights": "0,1",
            "timing": "linear",
            "frames": 2,
            "method": "shift batches",
            "add_starting_frames": 1,
            "add_ending_frames": 1,
        },
        3,
        [0.0, 0.0, 1.0, 0.0, 1.0, 1.0],
        [0, 0, 0, 1, 1, 2],
        [0, 1, 1, 2, 2, 2],
    ),
]


@pytest.mark.parametrize(("typed", "pictures", "weights", "first", "second"), EXAMPLES)
def test_examples_have_their_weights_and_pictures(typed, pictures, weights, first, second):
    made = weighed_frames(Strategy(**typed), pictures)
    assert made.weights == pytest.approx(weights, abs=1e-6)
    assert (made.first, made.second) == (first, second)


CURVES = {
    "linear": lambda x: x,
    "ease_in_out": lambda x: (1 - math.cos(math.pi * x)) / 2,
    "ease_in": lambda x: math.sin(math.pi * x / 2),
    "ease_out": lambda x: 1 - math.cos(math.pi * x / 2),
}


@pytest.mark.parametrize(("count", "start", "end"), [(9, 0, 9999), (9, 3, 7), (9, 0, 4), (2, 0, 2)])
@pytest.mark.parametrize("timing", CURVES)
def test_weights_change_along_a_curve_between_two_frames(timing, count, start, end):
    typed = Strategy("0.4, 7, -1.5", timing, count, start, end)
    stop = min(end, count)
    ramp = [0.4 - 1.9 * CURVES[timing](i / (stop - start - 1)) for i in range(stop - start)]
    expected = [0.4] * start + ramp + [-1.5] * (count - stop)
    assert once(typed) == pytest.approx(expected, abs=1e-9)
    assert once(typed)[-1] == -1.5


def test_random_weights_lie_between_the_two_and_never_come_twice():
    before = random.getstate()
    typed = Strategy("0.2, 0.6", "random", 40, 3, 30)
    weights = once(typed)
    assert weights[:3] == [0.2] * 3 and weights[30:] == [0.6] * 10
    assert all(0.2 <= each <= 0.6 for each in weights) and len({*weights[3:30]}) == 27
    assert once(typed) != weights and random.getstate() == before


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"frames": 3, "start_frame": 1, "end_frame": 2}, [1.0, 1.0, 0.0]),  # changes within one frame
        ({"frames": 3, "start_frame": 2}, [1.0, 1.0, 0.0]),
        ({"frames": 3, "end_frame": 0}, [0.0, 0.0, 0.0]),
        ({"frames": 3, "start_frame": 8}, [1.0, 1.0, 0.0]),
        ({"frames": 4, "start_frame": 3, "end_frame": 1}, [1.0, 1.0, 1.0, 0.0]),
        ({"frames": 0}, [1.0, 0.0]),
        ({"frames": 3, "weights": "1.0, 0.0,\n,"}, [1.0, 0.5, 0.0]),
        ({"timing": "custom", "weights": " 0.5,,\r\n0.25,"}, [0.5, 0.25]),
    ],
)
def test_odd_settings_give_as_many_weights_as_frames(typed, expected):
    assert once(Strategy(**typed)) == expected


@pytest.mark.parametrize("method", ["shift batches", "alternate batches"])
def test_a_single_picture_stays(method):
    made = weighed_frames(Strategy("0, 1", frames=3, method=method, add_starting_frames=1), 1)
    assert (made.weights, made.first, made.second) == ([0.0, 0.0, 0.5, 1.0], [0] * 4, [0] * 4)


def test_a_longer_batch_alternates_to_its_end():
    made = weighed_frames(
        Strategy("0, 1", frames=2, method="alternate batches", add_starting_frames=1, add_ending_frames=2), 5
    )
    assert made.weights == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    assert made.first == [0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4]
    assert made.second == [0, 1, 1, 1, 1, 3, 3, 3, 3, 4, 4]


def test_every_other_run_is_mirrored_between_its_own_least_and_greatest():
    made = weighed_frames(Strategy("0.1, 0.7, 0.4", "custom", method="alternate batches"), 3)
    assert made.weights == pytest.approx([0.1, 0.7, 0.4, 0.7, 0.1, 0.4])


@pytest.mark.parametrize("text", ["1.0; 0.5", "one", "0.5, nan", "inf"])
def test_what_is_no_number_is_named(text):
    with pytest.raises(ValueError, match=f"The weights are '{text}': write numbers"):
        once(Strategy(text))


@pytest.mark.parametrize(
    ("typed", "prompt", "expected"),
    [
        ({"frames": 16, "frame_count": 2}, "a cat\na dog", [(0, "a cat"), (16, "a dog")]),
        ({"frames": 16, "frame_count": 3}, "a cat\n\n  \na dog\n", [(0, "a cat"), (16, "a dog"), (32, "a dog")]),
        ({"frames": 8, "frame_count": 1}, "a cat\na dog", [(0, "a cat")]),
        (
            {"frames": 8, "frame_count": 2, "add_starting_frames": 3, "add_ending_frames": 2},
            "a cat\na dog",
            [(0, "a cat"), (3, "a cat"), (11, "a dog"), (19, "a dog")],
        ),
        ({"frame_count": 2}, "", [(0, ""), (0, "")]),
    ],
)
def test_a_prompt_is_scheduled_by_the_frames_of_its_lines(typed, prompt, expected):
    lines = [f'"{frame}": "{line}",' for frame, line in expected]
    assert scheduled(Strategy(**typed), prompt).splitlines() == lines


def test_a_strategy_is_a_dict_on_its_way():
    typed = Strategy("0.5", "custom", frames=4, method="shift batches", frame_count=3)
    assert Strategy.of({**asdict(typed), "of another pack": 1}) == typed
    assert Strategy.of({"frames": 7}) == Strategy(frames=7)


WEIGHTS, COMBINE, FROM_STRATEGY, SCHEDULE = (node_class(row, "pack") for row in ROWS)
IMAGE = torch.rand(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("typed", "pictures", "expected", "first", "second"), EXAMPLES)
def test_the_node_gives_weights_their_reverse_and_pictures(typed, pictures, expected, first, second):
    image = IMAGE[:pictures] if pictures else None
    weights, invert, total, *shown, strategy = WEIGHTS().weights(**typed, image=image)
    assert weights == pytest.approx(expected, abs=1e-6)
    assert (invert, total) == (weights[::-1], len(weights))
    for made, numbers in zip(shown, (first, second)):
        assert made is None if not numbers else torch.equal(made, IMAGE[numbers])
    assert strategy["frame_count"] == (pictures or 1) and {**strategy, **typed} == strategy


def test_a_strategy_weighs_other_pictures_and_keeps_the_number_of_its_own():
    strategy = WEIGHTS().weights("0, 1", frames=3, image=IMAGE)[-1]
    again = FROM_STRATEGY().weights(strategy, IMAGE[:2])
    assert again[0] == [0, 0.5, 1] * 2 and again[3].shape[0] == 6
    assert again[-1] == strategy
    assert FROM_STRATEGY().weights(strategy)[:3] == ([0, 0.5, 1], [1, 0.5, 0], 3)
    assert SCHEDULE().prompt_schedule(again[-1], "a\nb")[0].splitlines() == [
        '"0": "a",',
        '"3": "b",',
        '"6": "b",',
        '"9": "b",',
    ]


@pytest.mark.parametrize(
    ("one", "two", "expected"), [(0.5, 0.25, [0.5, 0.25]), ([1.0, 0.5], 0, [1.0, 0.5, 0]), ([0], [1, 1], [0, 1, 1])]
)
def test_weights_are_joined(one, two, expected):
    assert COMBINE().combine(one, two) == (expected, len(expected))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"weights": [0.5]}, "weights is a list of 1"),
        ({"timing": "slow"}, "timing is the text 'slow'"),
        ({"method": "all"}, "method is the text 'all'"),
        ({"frames": -1}, "frames is -1"),
        ({"end_frame": None}, "end_frame is nothing"),
        ({"image": IMAGE[:0]}, "a batch without pictures"),
        ({"image": "a.png"}, "image is the text 'a.png'"),
    ],
)
def test_wrong_inputs_are_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        WEIGHTS().weights(**inputs)


def test_what_is_no_strategy_or_weight_is_named():
    for wrong, words in (([1.0], "weights_strategy is a list of 1"), ({"frame_count": 0}, "frame_count is 0")):
        with pytest.raises(ValueError, match=words):
            SCHEDULE().prompt_schedule(wrong, "a")
    with pytest.raises(ValueError, match="prompt is 3: write a line"):
        SCHEDULE().prompt_schedule({"frame_count": 1}, 3)
    with pytest.raises(ValueError, match="weights_2 is the text 'one'"):
        COMBINE().combine(1.0, "one")
