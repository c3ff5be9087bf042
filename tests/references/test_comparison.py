"""Compare ways to find pictures: recall against counting, chance against drawing, ways against numpy."""

import itertools
import json
import random
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from image_prompt.references.comparison import KS, Labelled, chance, compare, find_labels, first_rank, recall
from image_prompt.references.embedding import Embedding
from image_prompt.references.space import Space

# -------------------------------------------------------------------------------------------------------------- recall


def test_recall_is_the_share_of_queries_that_find_a_right_picture_among_the_first():
    firsts = [1, 2, 5, 6, None]
    assert [recall(firsts, k) for k in (1, 2, 5, 6, 1000)] == [0.2, 0.4, 0.6, 0.8, 0.8]
    assert first_rank([7, 3, 9], {9, 3}) == 2 and first_rank([7], {9}) is None


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_chance_is_the_recall_of_all_orders(k):
    total, counts = 6, [1, 2, 5]
    orders = list(itertools.permutations(range(total)))
    found = [[any(each < count for each in order[:k]) for order in orders] for count in counts]
    assert chance(counts, total, k) == pytest.approx(np.mean(found))


@pytest.mark.parametrize(
    "call, expected",
    [
        (lambda: recall([], 1), "There is no query"),
        (lambda: recall([1], 0), "k is 1 or more"),
        (lambda: chance([3], 2, 1), "Of 2 pictures, 3 cannot be right"),
    ],
)
def test_what_has_no_recall_is_said(call, expected):
    with pytest.raises(ValueError, match=expected):
        call()


# ---------------------------------------------------------------------------------------------------------------- ways


class Known:
    """An encoder whose vectors are known: of a picture by its colour, of a text by its words."""

    def __init__(self, seed: int, log: list[str] | None = None) -> None:
        self.space, self.seed, self.log = Space(f"known {seed}", 8), seed, [] if log is None else log

    def of(self, what: object) -> np.ndarray:
        row = np.random.default_rng([self.seed, *str(what).encode()]).standard_normal(8)
        return (row / np.linalg.norm(row)).astype(np.float32)

    def embed_images(self, images):
        self.log += ["pictures"] * len(images)
        colours = [image.convert("RGB").getpixel((0, 0)) for image in images]
        if (13, 13, 13) in colours:
            raise ValueError("It is of an unlucky colour.")
        return self._embedding([self.of(colour) for colour in colours], "image")

    def embed_texts(self, texts):
        self.log += ["texts"] * len(texts)
        return self._embedding([self.of(text) for text in texts], "text")

    def too_long(self, texts):
        return [number for number, text in enumerate(texts) if len(text) > 20]

    def _embedding(self, rows, of):
        return Embedding(torch.tensor(np.stack(rows)), self.space, of)


def painted(folder: Path, count: int, labels: int, captions: bool = False) -> list[Labelled]:
    choose, made = random.Random(count), []
    for number in range(count):
        path = folder / f"{number:03}.png"
        Image.new("RGB", (8, 8), (number, number * 3 % 256, 100)).save(path)
        label = f"label {number if number < labels else choose.randrange(labels)}"
        made.append(Labelled(path.name, path, label, f"caption {number}" if captions else ""))
    return made


def expected_ranks(encoder: Known, texts: list[str], rows: list[np.ndarray]) -> np.ndarray:
    """The rank of each picture for each text, (L, N), in float64."""
    kept = np.stack(rows).astype(np.float16).astype(np.float64)
    scores = np.stack([encoder.of(text) for text in texts]).astype(np.float64) @ kept.T
    return (-scores).argsort(axis=1, kind="stable").argsort(axis=1) + 1


def colour_of(number: int) -> tuple[int, int, int]:
    return number, number * 3 % 256, 100


def firsts_of(ranks: np.ndarray, pictures: list[Labelled], labels: list[str]) -> list[int]:
    of = np.array([each.label for each in pictures])
    return [int(row[of == label].min()) for row, label in zip(ranks, labels, strict=True)]


def test_every_way_finds_what_numpy_finds(tmp_path):
    pictures, encoders = painted(tmp_path, 40, 12, captions=True), {"a": Known(1), "b": Known(2)}
    found = compare([(name, lambda e=e: nullcontext(e)) for name, e in encoders.items()], pictures, "see {}")
    labels = sorted({each.label for each in pictures})
    texts = [f"see {label}" for label in labels]
    assert list(found.labels) == labels and list(found.queries) == texts and found.pictures == 40
    assert found.labels == {label: sum(each.label == label for each in pictures) for label in labels}
    ranks = {}
    for name, encoder in encoders.items():
        ranks[name] = expected_ranks(encoder, texts, [encoder.of(colour_of(number)) for number in range(40)])
        ranks[f"{name}, captions"] = expected_ranks(encoder, texts, [encoder.of(each.caption) for each in pictures])
    score = {name: 1 / (60 + each) for name, each in ranks.items()}
    for name, parts in (("fused", ["a", "b"]), ("all fused", ["a", "b", "a, captions", "b, captions"])):
        total = sum(score[part] for part in parts)
        order = np.lexsort((ranks["a"], -total.round(12)), axis=1)
        ranks[name] = order.argsort(axis=1) + 1
    assert [way.name for way in found.ways] == list(ranks)[:1] + [
        "b",
        "a, captions",
        "b, captions",
        "fused",
        "all fused",
    ]
    for way in found.ways:
        firsts = firsts_of(ranks[way.name], pictures, labels)
        assert list(way.firsts) == firsts
        assert [way.recall(k) for k in KS] == [np.mean([first <= k for first in firsts]) for k in KS]
    assert len({way.firsts for way in found.ways}) == 6
    assert [way.parts for way in found.ways][-2:] == [("a", "b"), ("a", "b", "a, captions", "b, captions")]
    assert [way.size for way in found.ways] == [640, 640, 640, 640, 1280, 2560]


def test_times_are_medians_of_what_the_encoder_takes(tmp_path):
    """Each look at the clock is a second later, so that whatever is timed takes one second."""
    pictures, seconds = painted(tmp_path, 20, 4, captions=True), itertools.count()
    found = compare([("a", lambda: nullcontext(Known(1)))], pictures, clock=lambda: float(next(seconds)))
    a, captions, fused = found.ways
    assert a.picture_ms == captions.picture_ms == pytest.approx(1000 * (1 / 16 + 1 / 4) / 2)  # batches of 16 and of 4
    assert (a.query_ms, captions.query_ms) == (2000, 2000)  # to embed it and to search
    assert fused.picture_ms == pytest.approx(2 * a.picture_ms) and fused.query_ms == 5000


def test_an_encoder_is_closed_before_the_next_is_opened(tmp_path):
    log = []

    class Opened:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            log.append(f"open {self.number}")
            return Known(self.number)

        def __exit__(self, *_):
            log.append(f"close {self.number}")

    seen = []
    compare(
        [("a", lambda: Opened(1)), ("b", lambda: Opened(2))],
        painted(tmp_path, 20, 2),
        on_progress=lambda *said: seen.append(said),
    )
    assert log == ["open 1", "close 1", "open 2", "close 2"]
    assert seen == [("a", 16, 20), ("a", 20, 20), ("b", 16, 20), ("b", 20, 20)]


def test_pictures_that_an_encoder_cannot_read_are_left_out_of_all_ways(tmp_path):
    pictures = painted(tmp_path, 12, 3)
    broken, refused = pictures[4].whole, pictures[6].whole
    broken.write_bytes(broken.read_bytes()[:40])
    Image.new("RGB", (8, 8), (13, 13, 13)).save(refused)
    pictures[8].whole.unlink()
    found = compare([("a", lambda: nullcontext(Known(1))), ("b", lambda: nullcontext(Known(2)))], pictures)
    assert found.pictures == 9 and list(found.failed) == ["004.png", "008.png", "006.png"]
    assert found.failed["006.png"] == "It is of an unlucky colour."
    assert "could not be read: No such file" in found.failed["008.png"]
    kept = [each for number, each in enumerate(pictures) if number not in (4, 6, 8)]
    numbers = [number for number in range(12) if number not in (4, 6, 8)]
    ranks = expected_ranks(Known(1), list(found.queries), [Known(1).of(colour_of(number)) for number in numbers])
    assert list(found.ways[0].firsts) == firsts_of(ranks, kept, list(found.labels))


def test_a_label_of_which_no_picture_can_be_read_is_no_query(tmp_path):
    pictures = painted(tmp_path, 3, 3)
    pictures[1].whole.write_text("no picture")
    found = compare([("a", lambda: nullcontext(Known(1)))], pictures)
    assert found.labels == {"label 0": 1, "label 2": 1} and len(found.ways[0].firsts) == 2
    ranks = expected_ranks(Known(1), ["label 0", "label 2"], [Known(1).of(colour_of(number)) for number in (0, 2)])
    assert list(found.ways[0].firsts) == [ranks[0, 0], ranks[1, 1]]
    pictures[0].whole.write_text("no picture")
    with pytest.raises(
        ValueError, match=r"2 of 3 pictures could not be read, .* The first reason: It is not a picture"
    ):
        compare([("a", lambda: nullcontext(Known(1)))], pictures)


def test_captions_are_compared_only_where_all_pictures_have_one(tmp_path):
    log, pictures = [], painted(tmp_path, 6, 2, captions=True)
    pictures[3] = Labelled(pictures[3].path, pictures[3].whole, pictures[3].label)
    found = compare([("a", lambda: nullcontext(Known(1, log)))], pictures)
    assert [way.name for way in found.ways] == ["a"] and found.captions == 5
    assert log.count("texts") == 3  # two queries, of which the first is embedded twice


def test_captions_whose_end_is_not_seen_are_counted(tmp_path):
    pictures = painted(tmp_path, 3, 2, captions=True)
    pictures[1] = Labelled(pictures[1].path, pictures[1].whole, pictures[1].label, "long " * 9)
    assert compare([("a", lambda: nullcontext(Known(1)))], pictures).cut == {"a": 1}


# -------------------------------------------------------------------------------------------------------------- labels


@pytest.fixture
def folder(tmp_path) -> Path:
    for path in ("cat/tom.png", "cat/old/leo.JPG", "dog/rex.png", "red_1.png", "dog/.hidden.png", "dog/notes.md"):
        place = tmp_path / "pictures" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    (tmp_path / "pictures/cat/tom.txt").write_text(" Tom, a grey cat \n")
    return tmp_path / "pictures"


def labels_of(found) -> dict[str, str]:
    return {each.path: each.label for each in found.pictures}


def test_the_label_is_the_first_sub_folder(folder):
    found = find_labels(folder)
    assert labels_of(found) == {"cat/old/leo.JPG": "cat", "cat/tom.png": "cat", "dog/rex.png": "dog"}
    assert found.unlabelled == ["red_1.png"] and found.failed == []
    assert [(each.caption, each.whole) for each in found.pictures][1] == ("Tom, a grey cat", folder / "cat/tom.png")


def test_labels_of_a_file_are_those_of_its_paths(folder, tmp_path):
    said = tmp_path / "labels.json"
    said.write_text(json.dumps({"cat/tom.png": "grey", "./red_1.png": " red ", "gone.png": "red"}))
    found = find_labels(folder, labels=said)
    assert labels_of(found) == {"cat/tom.png": "grey", "red_1.png": "red"}
    assert found.unlabelled == ["cat/old/leo.JPG", "dog/rex.png"]
    assert found.failed == [(folder / "gone.png", "It has a label, and is not there.")]


def test_labels_of_a_pattern_are_its_first_group_in_the_name(folder):
    found = find_labels(folder, pattern=r"^([a-z]{3})[._]")
    assert labels_of(found) == {
        "cat/old/leo.JPG": "leo",
        "cat/tom.png": "tom",
        "dog/rex.png": "rex",
        "red_1.png": "red",
    }


def test_a_list_has_captions_and_sub_folders(folder):
    entries = [{"path": "dog/rex.png", "text": "Rex"}, "cat/tom.png", "cat/gone.png"]
    (folder / "list.json").write_text(json.dumps(entries))
    found = find_labels(folder / "list.json")
    assert [(each.path, each.label, each.caption) for each in found.pictures] == [
        ("dog/rex.png", "dog", "Rex"),
        ("cat/tom.png", "cat", "Tom, a grey cat"),
    ]
    assert [path for path, _ in found.failed] == [folder / "cat/gone.png"]


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": "red"}, "has no group"),
        ({"pattern": "(purple)"}, "No picture in .* has a label"),
        ({"pattern": "(.)[.]png$", "labels": "{}"}, "give one of them"),
        ({"labels": "[1"}, "holds no labels"),
        ({"labels": '["a"]'}, "holds no labels. Labels are a JSON file such as"),
        ({"labels": '{"cat/tom.png": 3}'}, "The label of 'cat/tom.png' in .* is no text"),
        (
            {"labels": '{"cat/tom.png": "cat", "dog/rex.png": "cat"}'},
            "All labelled pictures have the same label, 'cat'",
        ),
        ({"labels": "{}"}, "has a label. Put the pictures of each label into a sub-folder"),
    ],
)
def test_what_gives_no_labels_is_said(folder, tmp_path, options, expected):
    said = tmp_path / "labels.json"
    if "labels" in options:
        said.write_text(options["labels"])
        options = {**options, "labels": said}
    with pytest.raises(ValueError, match=expected):
        find_labels(folder, **options)


def test_labels_that_are_not_there_are_said(folder):
    with pytest.raises(ValueError, match="The labels no.json cannot be read: No such file"):
        find_labels(folder, labels="no.json")


def test_a_folder_without_pictures_is_said(tmp_path):
    with pytest.raises(ValueError, match="No picture was found in"):
        find_labels(tmp_path)
