"""Search against numpy's brute force in float64."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from image_prompt.references.embedding import Embedding
from image_prompt.references.search import Hit, Searcher, search
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

    def ids(self) -> np.ndarray:
        return self.numbers

    def vectors(self) -> np.ndarray:
        return self.rows


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
