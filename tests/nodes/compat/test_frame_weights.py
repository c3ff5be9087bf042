"""Weights of frames, the pictures that they go with, and schedules of prompts."""

import math
import random

import pytest

from image_prompt.nodes.compat.formulas.frame_weights import Strategy, frames, once, prompt_schedule

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
    made = frames(Strategy(**typed), pictures)
    assert made.weights == pytest.approx(weights, abs=1e-6)
    assert ([*made.first], [*made.second]) == (first, second)


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
    made = frames(Strategy("0, 1", frames=3, method=method, add_starting_frames=1), 1)
    assert (made.weights, made.first, made.second) == ([0.0, 0.0, 0.5, 1.0], [0] * 4, [0] * 4)


def test_a_longer_batch_alternates_to_its_end():
    made = frames(Strategy("0, 1", frames=2, method="alternate batches", add_starting_frames=1, add_ending_frames=2), 5)
    assert made.weights == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    assert made.first == [0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4]
    assert made.second == [0, 1, 1, 1, 1, 3, 3, 3, 3, 4, 4]


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
    assert prompt_schedule(Strategy(**typed), prompt).splitlines() == lines


def test_a_strategy_is_a_dict_on_its_way():
    typed = Strategy("0.5", "custom", frames=4, method="shift batches", frame_count=3)
    assert Strategy.of({**typed.as_dict(), "of another pack": 1}) == typed
    assert Strategy.of({"frames": 7}) == Strategy(frames=7)
