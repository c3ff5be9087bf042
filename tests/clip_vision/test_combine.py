"""Joined references equal the formulas written out."""

import pytest
import torch

from image_prompt.clip_vision import COMBINE_METHODS, combine

TOKENS = [torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def test_methods():
    assert COMBINE_METHODS == (
        "concat",
        "add",
        "subtract",
        "average",
        "norm average",
        "weighted average",
        "interpolate",
    )


def test_formulas():
    a, b, c = TOKENS
    torch.testing.assert_close(combine(TOKENS, "concat"), torch.cat((a, b, c)), rtol=0, atol=0)
    torch.testing.assert_close(combine(TOKENS, "add"), a + b + c)
    torch.testing.assert_close(combine(TOKENS, "subtract"), a - (b + c) / 2)
    torch.testing.assert_close(combine(TOKENS, "average"), (a + b + c) / 3)


def test_formulas_with_numbers():
    a, b, c = TOKENS
    torch.testing.assert_close(combine(TOKENS, "weighted average", weights=[2, 0.5, 1]), (2 * a + 0.5 * b + c) / 3.5)
    torch.testing.assert_close(combine([a, b], "interpolate", interpolation=0.3), torch.lerp(a, b, 0.3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_neutral_numbers_change_no_bit(dtype):
    a, b, c = (token.to(dtype) for token in TOKENS)
    average = combine([a, b, c], "average")
    for weight in (1.0, 0.1, 7.0, 1e-310):
        assert torch.equal(combine([a, b, c], "weighted average", weights=[weight] * 3), average)
    assert torch.equal(combine([a, b, c], "weighted average", weights=[3, 0, 3]), combine([a, c], "average"))
    assert torch.equal(combine([a], "weighted average", weights=[0.3]), a)
    assert torch.equal(combine([a, b], "interpolate", interpolation=0.0), a)
    assert torch.equal(combine([a, b], "interpolate", interpolation=1.0), b)
    assert torch.equal(combine([a, b], "interpolate"), combine([a, b], "average"))


def test_norm_average_has_the_mean_direction_and_the_mean_length():
    long, short = torch.tensor([[8.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(combine([long, short], "norm average"), torch.tensor([[5.0, 5.0]]) / 2**0.5)
    lengths = torch.stack([token.norm(dim=-1) for token in TOKENS])
    torch.testing.assert_close(combine(TOKENS, "norm average").norm(dim=-1), lengths.mean(0))


@pytest.mark.parametrize("method", ["add", "subtract", "average", "norm average", "weighted average", "interpolate"])
def test_a_single_row_serves_every_row(method):
    one, many = torch.randn(1, 8), torch.randn(3, 8)
    numbers = {"weights": [2, 1]} if method == "weighted average" else {}
    combined = combine([many, one], method, **numbers)
    torch.testing.assert_close(combined, combine([many, one.repeat(3, 1)], method, **numbers))


def test_rows_may_differ_only_when_they_are_put_in_line():
    assert combine([torch.randn(2, 8), torch.randn(3, 8)], "concat").shape == (5, 8)
    with pytest.raises(ValueError, match=r"\[2, 3\] rows.*concat"):
        combine([torch.randn(2, 8), torch.randn(3, 8)], "add")


def test_zeros_have_no_direction_and_make_no_nan():
    assert torch.equal(combine([torch.zeros(1, 8)] * 2, "norm average"), torch.zeros(1, 8))


@pytest.mark.parametrize("method", ["concat", "add", "average", "norm average"])
def test_one_reference_stays_what_it_is(method):
    torch.testing.assert_close(combine(TOKENS[:1], method), TOKENS[0])


@pytest.mark.parametrize(
    ("features", "method", "message"),
    [
        ([torch.zeros(1, 1280), torch.zeros(1, 1024)], "concat", "different encoders"),
        ([torch.zeros(1, 257, 1280), torch.zeros(1, 50, 1280)], "average", "different encoders"),
        ([torch.zeros(1, 8), torch.zeros(1, 1, 8)], "add", "different encoders"),
        ([], "concat", "at least one"),
        ([torch.zeros(1, 8)], "subtract", r"there is one: add another picture, or choose another method\.$"),
        ([torch.zeros(2, 8)], "subtract", "there is one: .*, or take the rows of the batch all together"),
        ([torch.zeros(1, 8)], "mean", "Known: concat"),
        ([torch.zeros(1, 8)] * 3, "interpolate", "exactly two references.* there are 3: give two, or choose"),
        ([torch.zeros(2, 8)], "interpolate", "exactly two references.* there are 1: give two, or choose"),
        (TOKENS, "weighted average", r"given 0 weights \(none\) for 3 references: give one number .* as in 2, 1, 1\."),
    ],
)
def test_what_cannot_be_combined_is_refused(features, method, message):
    with pytest.raises(ValueError, match=message):
        combine(features, method)


@pytest.mark.parametrize(
    ("method", "numbers", "message"),
    [
        ("weighted average", {"weights": [1, 2, 3]}, r"given 3 weights \(1, 2, 3\) for 2 references"),
        ("weighted average", {"weights": [0, 0]}, "are 0, 0: each must be .* one of them more than 0"),
        ("weighted average", {"weights": [1, float("nan")]}, "are 1, nan: each must be a finite number"),
        ("weighted average", {"weights": [float("inf"), 1]}, "are inf, 1: each must be a finite number"),
        ("weighted average", {"weights": [2, -1]}, "are 2, -1: each must be .* choose 'subtract'"),
        ("average", {"weights": [2, 1]}, "weights 2, 1 are given, and the method 'average' reads none: choose"),
        ("interpolate", {"interpolation": 1.5}, r"interpolation is 1\.5: give 0 .* to 1"),
        ("interpolate", {"interpolation": float("nan")}, "interpolation is nan: give 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(method, numbers, message):
    with pytest.raises(ValueError, match=message):
        combine(TOKENS[:2], method, **numbers)


def test_a_way_to_take_rows_that_there_is_not():
    with pytest.raises(ValueError, match="rows 'both'. Known: auto, all together, row by row"):
        combine(TOKENS, "add", "both")


@pytest.mark.parametrize("rows, groups", [("all together", 1), ("row by row", 2), ("auto", 2)])
def test_the_rows_of_several_batches(rows, groups):
    """Two batches of two, with the numbers 1, 2 and 3, 4."""
    batches = [torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])]
    expected = {1: [[2.5]], 2: [[2.0], [3.0]]}[groups]
    torch.testing.assert_close(combine(batches, "average", rows), torch.tensor(expected))


@pytest.mark.parametrize(
    "rows, expected", [("all together", [[1.5]]), ("row by row", [[1.0], [2.0]]), ("auto", [[1.5]])]
)
def test_the_rows_of_a_single_batch(rows, expected):
    torch.testing.assert_close(combine([torch.tensor([[1.0], [2.0]])], "average", rows), torch.tensor(expected))
