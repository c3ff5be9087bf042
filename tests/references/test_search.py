"""Search against numpy's brute force in float64."""

from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from image_prompt.references.embedding import Embedding
from image_prompt.references.library import Library, NewPicture, Writer
from image_prompt.references.search import Hit, Searchable, Searcher, open_library, scores, search
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
    return [(int(rows.numbers[number]), min(1.0, float(scores[number]))) for number in kept[:k]]  # fp16 lengthens rows


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("native", [False, True])
def test_a_search_is_exact_on_processors_of_all_kinds(monkeypatch, dtype, native):
    """Many rows are nearer to each other than a number of few digits can tell, and blocks are small."""
    monkeypatch.setattr(scores, "fast_dtype", lambda many: dtype)
    monkeypatch.setattr(scores, "has_fp16", lambda: native)
    monkeypatch.setattr(scores, "BLOCK", 100)
    monkeypatch.setattr(scores, "AT_ONCE", 2000)
    rows = library(999)
    rows.rows[:800] = clustered(1, 3) + 1e-3 * clustered(800, 4)
    for asked in (query(1, 3), query(4, 3)):
        for k in (1, 10, 100):
            assert_equals_brute_force(rows, asked, search(rows, asked, k), k)


def test_a_search_is_exact_where_torch_sums_in_fp16(monkeypatch):
    sums = []

    def worse(rows: torch.Tensor, queries: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        sums.append(dtype)
        exact = queries.double() @ rows.double().T
        return exact.float() if dtype is torch.float32 else (exact + 0.01 * (1000 * exact).sin()).to(dtype)

    monkeypatch.setattr(scores, "fast_scores", worse)
    monkeypatch.setattr(scores, "fast_dtype", lambda many: torch.float16)
    rows, asked = library(500), query(1)
    assert_equals_brute_force(rows, asked, search(rows, asked, 10), 10)
    assert sums == [torch.float16, torch.float32]


@pytest.mark.parametrize("count", [1, 3])
def test_equal_rows_are_found_in_the_order_of_their_ids(count):
    rows = library(300)
    rows.rows[:] = rows.rows[5]
    for hits in search(rows, query(count), 40):
        assert [hit.id for hit in hits] == rows.numbers[:40].tolist() and len({hit.score for hit in hits}) == 1


def test_a_search_finds_what_faiss_finds():
    rows, asked = library(2000), query(5)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(rows.rows.astype(np.float32))
    cosines, numbers = index.search(asked.vectors.numpy(), 10)
    for hits, expected, places in zip(search(rows, asked, 10), cosines, numbers, strict=True):
        np.testing.assert_allclose([hit.score for hit in hits], expected, atol=1e-6)
        apart = np.diff(expected, prepend=2, append=expected[-1]) < -1e-5  # faiss orders equal ones as they come
        alone = apart[:-1] & apart[1:]
        assert alone.sum() > 3
        assert [hit.id for hit, one in zip(hits, alone, strict=True) if one] == rows.numbers[places[alone]].tolist()


def test_a_searcher_answers_like_a_search_and_keeps_its_snapshot():
    rows, asked = library(500), query(2)
    searcher, expected = Searcher(rows), search(rows, asked)
    rows.numbers, rows.rows = rows.numbers[:5], rows.rows[:5]
    assert searcher.search(asked) == expected != search(rows, asked)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Library:
    """A library on disk, of more than one part."""
    root = tmp_path_factory.mktemp("stored")
    with Writer.open(root / "cats", SPACE) as writer:
        pictures = [new(root, f"{number % 7}/{number}.png") for number in range(5000)]
        writer.add(pictures, clustered(5000, seed=0))
        writer.remove([root / "3" / "3.png"])
        writer.rate(root / "2" / "2.png", 1)
    return Library.open(root / "cats")


def test_a_library_is_searched_where_its_pictures_are_as_asked_for(stored):
    rows, asked, known = Rows(stored.ids(), np.array(stored.vectors())), query(1), open_library(stored.folder)
    assert_equals_brute_force(rows, asked, known.search(asked, 5), 5)
    mask = np.array([path.startswith("4/") for path in stored.column("path")])
    found = known.search(asked, 5, folder="4", minimum=0.2, exact=False)
    assert_equals_brute_force(rows, asked, found, 5, mask=mask, minimum=0.2)
    rated = known.search(asked, 5, rating=1)[0]
    assert [known.picture(hit.id).path for hit in rated] == ["2/2.png"]
    assert known.path_of(known.picture(rated[0].id)) == stored.folder.parent / "2" / "2.png"
    assert known.newest(3) == stored.ids()[:-4:-1].tolist() and known.newest(0) == []
    assert [known.picture(id).path for id in known.newest(2, folder="4")] == ["4/4995.png", "4/4988.png"]
    assert (known.name, known.space, known.count) == ("cats", SPACE, 4999)


def test_the_vectors_of_pictures_are_given_in_the_order_of_their_ids(stored):
    known, (first, second) = open_library(stored.folder), stored.ids()[[4500, 7]].tolist()
    vectors = known.vectors_of([first, second, first])
    np.testing.assert_array_equal(vectors, stored.vectors()[[4500, 7, 4500]])
    assert vectors.dtype == np.float32 and known.vectors_of([]).shape == (0, WIDTH)
    with pytest.raises(ValueError, match='no picture 99999 in the library "cats". It was removed: search again'):
        known.vectors_of([first, 99999])


def test_what_is_no_library_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no library cats"):
        open_library(tmp_path / "cats")
    for about in (b"{", b"[]", b'{"format": 1, "kind": "new"}'):
        (tmp_path / "library.json").write_bytes(about)
        with pytest.raises(ValueError, match=tmp_path.name):
            open_library(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_changes_a_search_equals_brute_force_over_what_is_left(tmp_path, seed):
    """Pictures are added, replaced, removed and compacted in any order; the last snapshot of before stays as it was."""
    rng = np.random.default_rng(seed)
    folder, left, before = tmp_path / "cats", dict[str, np.ndarray](), None
    for step in range(25):
        with Writer.open(folder, SPACE) as writer:
            match rng.integers(0, 5):
                case 0 | 1 | 2:
                    paths = [f"{number}.png" for number in rng.choice(60, rng.integers(1, 20), replace=False)]
                    vectors = clustered(len(paths), int(rng.integers(0, 20)))
                    writer.add([new(tmp_path, path) for path in paths], vectors)
                    left |= dict(zip(paths, vectors, strict=True))
                case 3:
                    paths = [f"{number}.png" for number in rng.choice(60, 10, replace=False)]
                    writer.remove([tmp_path / path for path in paths if path in left])
                    left = {path: vector for path, vector in left.items() if path not in paths}
                case _:
                    writer.compact()
        if before is not None:
            library, asked, found = before
            assert library.search(asked, 7) == found
        library = open_library(folder)
        asked = query(1 + step % 2, seed=100 + step)
        found = library.search(asked, 7)
        before = library, asked, found
        assert library.count == len(left)
        assert_is_best_of(left, library, asked, found)


def assert_is_best_of(left: dict[str, np.ndarray], library: Searchable, asked: Embedding, found: list[list[Hit]]):
    for vector, hits in zip(asked.vectors.double().numpy(), found, strict=True):
        scores = {path: float((row.astype(np.float16).astype(np.float64) * vector).sum()) for path, row in left.items()}
        expected = sorted(scores.values(), reverse=True)[:7]
        np.testing.assert_allclose([hit.score for hit in hits], expected, atol=1e-6)
        paths = [picture.path for picture in library.pictures([hit.id for hit in hits])]
        np.testing.assert_allclose([scores[path] for path in paths], expected, atol=1e-12)
        assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)


def new(root: Path, path: str) -> NewPicture:
    return NewPicture(root, path, 1, 1, "00")


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
