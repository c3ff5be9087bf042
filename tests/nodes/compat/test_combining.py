"""What rows of features become, place by place."""

import math

import pytest
import torch

from image_prompt.nodes.compat.formulas.combining import combined, held


def by_place(rows, formula):
    """One row (1, ...) that holds formula(the numbers at a place, first row first) at each place."""
    numbers = zip(*(row.flatten().tolist() for row in rows))
    return torch.tensor([formula([*each]) for each in numbers]).reshape(1, *rows.shape[1:])


FORMULAS = {
    "add": sum,
    "subtract": lambda x: x[0] - sum(x[1:]) / (len(x) - 1),
    "average": lambda x: sum(x) / len(x),
    "norm average": lambda x: sum(each / math.sqrt(sum(y * y for y in x)) for each in x) / len(x),
    "max": max,
    "min": min,
}


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("method", FORMULAS)
def test_rows_become_one_row_place_by_place(method, count):
    rows = torch.randn(count, 3, 5, generator=torch.Generator().manual_seed(count))
    torch.testing.assert_close(combined(rows, method), by_place(rows, FORMULAS[method]), atol=1e-6, rtol=1e-5)


def test_concat_keeps_all_rows():
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(combined(rows, "concat"), rows)


@pytest.mark.parametrize("method", ["concat", *FORMULAS])
def test_one_row_stays_as_it_is_but_for_its_norm(method):
    row = torch.tensor([[0.5, -3.0, 0.0]])
    expected = torch.tensor([[1.0, -1.0, 0.0]]) if method == "norm average" else row
    assert torch.equal(combined(row, method), expected)


def test_places_that_are_0_in_all_rows_stay_0():
    rows = torch.tensor([[0.0, 3.0], [0.0, 4.0]])
    torch.testing.assert_close(combined(rows, "norm average"), torch.tensor([[0.0, (3 / 5 + 4 / 5) / 2]]))


def test_numbers_that_are_wrong_are_not_hidden():
    assert combined(torch.tensor([[math.nan], [1.0]]), "norm average").isnan().all()


@pytest.mark.parametrize(
    ("rows", "method", "words"),
    [
        (torch.ones(2, 3), "median", "'median': choose one of concat, add, subtract"),
        (torch.ones(0, 3), "average", "a batch is empty"),
    ],
)
def test_what_cannot_be_combined_is_refused(rows, method, words):
    with pytest.raises(ValueError, match=words):
        combined(rows, method)


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (5, [0, 1, 2, 2, 2])])
def test_rows_are_cut_or_the_last_is_repeated(count, expected):
    rows = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(held(rows, count), rows[expected])


def test_no_rows_cannot_be_repeated():
    with pytest.raises(ValueError, match="a batch is empty"):
        held(torch.ones(0, 3), 2)
