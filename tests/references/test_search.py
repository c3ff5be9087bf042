"""Search against numpy's brute force in float64."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from image_prompt.references.embedding import Embedding
from image_prompt.references.search import Hit, LocalLibrary, Searchable, Searcher, search
from image_prompt.references.space import Space

WIDTH = 64
SPACE = Space("CLIP ViT-L/14", WIDTH, "00ff")


@dataclass
class Rows:
    """A library in memory."""

    numbers: np.ndarray
    rows: np.ndarray
    name: str = "cats"
    space: Space = SPACE
    generation: int = 1

    def ids(self) -> np.ndarray:
        return self.numbers

    def vectors(self) -> np.ndarray:
        return self.rows

    @property
    def count(self) -> int:
        return len(self.numbers)

    def where(self, folder: str | None = None, rating: int | None = None, text: str | None = None) -> np.ndarray:
        return self.numbers % 2 == rating

    def picture(self, id: int) -> str:
        return f"{id}.png"

    def pictures(self, ids: Sequence[int]) -> list[str]:
        return [self.picture(id) for id in ids]

    def path_of(self, picture: str) -> Path:
        return Path("/pictures", picture)


def clustered(count: int, seed: int, width: int = WIDTH) -> np.ndarray:
    """Unit vectors around a few directions, as those of real pictures are: many are nearly as near as others."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(8, width)) + rng.normal(size=width)
    rows = centres[rng.integers(0, 8, count)] + 0.5 * rng.normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def library(count: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    rows = clustered(count, seed).astype(np.float16)
    if count > 10:
        rows[rng.integers(0, count, count // 5)] = rows[rng.integers(0, count, count // 5)]  # some are there twice
    return Rows(np.sort(rng.choice(10 * count + 1, count, replace=False)).astype(np.int64), rows)


def query(count: int, seed: int = 1) -> Embedding:
    return Embedding.of_vectors(torch.from_numpy(clustered(count, seed)), SPACE, "text")


def brute_force(rows: Rows, vector: torch.Tensor, k: int, minimum: float = -2, mask=None) -> list[tuple[int, float]]:
    # each row is summed on its own: a matrix product may round equal rows differently
    scores = (rows.rows.astype(np.float64) * vector.double().numpy()).sum(axis=1)
    order = np.lexsort((rows.numbers, -scores))
    kept = [number for number in order if scores[number] >= minimum and (mask is None or mask[number])]
    return [(int(rows.numbers[number]), float(scores[number])) for number in kept[:k]]


def assert_equals_brute_force(rows: Rows, asked: Embedding, found: list[list[Hit]], k: int, **options) -> None:
    assert len(found) == len(asked)
    for vector, hits in zip(asked.vectors, found, strict=True):
        expected = brute_force(rows, vector, k, **options)
        assert [hit.id for hit in hits] == [id for id, _ in expected]
        assert [hit.rank for hit in hits] == list(range(1, len(expected) + 1))
        np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 7, 45, 3000])
@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_a_search_equals_brute_force_in_float64(count, queries, k):
    rows, asked = library(count), query(queries)
    assert_equals_brute_force(rows, asked, search(rows, asked, k), k)
    half, few = np.arange(count) % 2 == 0, np.arange(count) % 50 == 3
    for mask in (half, few):
        assert_equals_brute_force(rows, asked, search(rows, asked, k, mask=mask), k, mask=mask)
        found = search(rows, asked, k, mask=mask, minimum=0.5)
        assert_equals_brute_force(rows, asked, found, k, mask=mask, minimum=0.5)


def test_a_searcher_answers_like_a_search_and_keeps_its_snapshot():
    rows, asked = library(500), query(2)
    searcher, expected = Searcher(rows), search(rows, asked)
    rows.numbers, rows.rows = rows.numbers[:5], rows.rows[:5]
    assert searcher.search(asked) == expected != search(rows, asked)


def test_a_library_is_searched_where_its_pictures_are_as_asked_for():
    rows, asked = library(100), query(1)
    known: Searchable = LocalLibrary(rows)
    assert_equals_brute_force(rows, asked, known.search(asked, 5), 5)
    found = known.search(asked, 5, rating=1, exact=False)
    assert_equals_brute_force(rows, asked, found, 5, mask=rows.numbers % 2 == 1)
    assert known.newest(3) == rows.numbers[:-4:-1].tolist() and known.newest(0) == []
    assert known.pictures([3, 4]) == ["3.png", "4.png"] and known.path_of(known.picture(3)) == Path("/pictures/3.png")


def test_the_vectors_of_pictures_are_given_in_the_order_of_their_ids():
    rows = library(20)
    known = LocalLibrary(rows)
    np.testing.assert_array_equal(known.vectors_of(rows.numbers[[7, 0, 7]].tolist()), rows.rows[[7, 0, 7]])
    assert known.vectors_of([]).shape == (0, WIDTH) and known.vectors_of(rows.numbers.tolist()).dtype == np.float32
    for id in (-1, int(rows.numbers[3]) + 1, 10**9):
        if id not in rows.numbers:
            with pytest.raises(ValueError, match=f'"cats" has no picture {id}: it was removed'):
                known.vectors_of([int(rows.numbers[0]), id])


QUERY = query(2)


@pytest.mark.parametrize(
    "asked, options, named",
    [
        (
            replace(QUERY, space=Space("CLIP ViT-H/14", WIDTH)),
            {},
            r'"cats" was made with CLIP ViT-L/14 \(64 numbers\), t'
            r"he text was encoded by CLIP ViT-H/14 \(64 numbers\): their numbers do not compare. Choose the encoder",
        ),
        (
            replace(QUERY, space=Space("CLIP ViT-L/14", WIDTH, "ff00")),
            {},
            "by another file of it: their numbers do not",
        ),
        (replace(QUERY, vectors=QUERY.vectors * torch.tensor([[1.0], [0.0]])), {}, "text 2 of 2 is not of length 1"),
        (
            replace(QUERY, vectors=QUERY.vectors * torch.tensor([[torch.nan], [1]])),
            {},
            "text 1 of 2 is not of length 1",
        ),
        (replace(QUERY, vectors=QUERY.vectors * 3), {}, "text 1 of 2 is not of length 1"),
        (QUERY, {"k": 0}, "0 nearest pictures cannot be found: ask for 1 or more"),
        (QUERY, {"minimum": float("nan")}, "a number from -1 to 1, not nan"),
        (QUERY, {"mask": np.ones(99, bool)}, r"each of its 100 pictures .* shape \(100,\), not torch.bool of \(99,\)"),
        (QUERY, {"mask": np.ones(100)}, r"not torch.float64 of \(100,\)"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(asked, options, named):
    with pytest.raises(ValueError, match=named):
        search(library(100), asked, **options)


@pytest.mark.parametrize("value, named", [(np.nan, "without finite numbers"), (3.0, "longer than 1")])
def test_a_damaged_row_is_an_error_and_no_hit(value, named):
    rows = library(100)
    rows.rows[17, QUERY.vectors[0].argmax()] = value
    with pytest.raises(
        ValueError, match=f'"cats" is damaged: it holds a vector .*{named}. Find it with `library check'
    ):
        search(rows, QUERY)
