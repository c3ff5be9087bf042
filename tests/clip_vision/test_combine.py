"""Joined references equal the formulas written out."""

import pytest
import torch

from image_prompt.clip_vision import COMBINE_METHODS, combine

TOKENS = [torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def test_methods():
    assert COMBINE_METHODS == ("concat", "add", "subtract", "average", "norm average")


def test_formulas():
    a, b, c = TOKENS
    torch.testing.assert_close(combine(TOKENS, "concat"), torch.cat((a, b, c)), rtol=0, atol=0)
    torch.testing.assert_close(combine(TOKENS, "add"), a + b + c)
    torch.testing.assert_close(combine(TOKENS, "subtract"), a - (b + c) / 2)
    torch.testing.assert_close(combine(TOKENS, "average"), (a + b + c) / 3)


def test_norm_average_has_the_mean_direction_and_the_mean_length():
    long, short = torch.tensor([[8.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(combine([long, short], "norm average"), torch.tensor([[5.0, 5.0]]) / 2**0.5)
    lengths = torch.stack([token.norm(dim=-1) for token in TOKENS])
    torch.testing.assert_close(combine(TOKENS, "norm average").norm(dim=-1), lengths.mean(0))


@pytest.mark.parametrize("method", ["add", "subtract", "average", "norm average"])
def test_a_single_row_serves_every_row(method):
    one, many = torch.randn(1, 8), torch.randn(3, 8)
    torch.testing.assert_close(combine([many, one], method), combine([many, one.repeat(3, 1)], method))


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
        ([torch.zeros(1, 8)], "subtract", "two or more.*there is one: connect another"),
        ([torch.zeros(1, 8)], "mean", "Known: concat"),
    ],
)
def test_what_cannot_be_combined_is_refused(features, method, message):
    with pytest.raises(ValueError, match=message):
        combine(features, method)


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
