"""Features that are combined, saved and loaded."""

import os
import pathlib

import folder_paths
import pytest
import torch

from image_prompt.nodes.compat.formulas.combining import combined
from image_prompt.nodes.compat.methods.embeds import ROWS
from image_prompt.nodes.compat.node import node_class
from image_prompt.tensor_files.locking import lock

COMBINE, SAVE, LOAD, PAIRS = (node_class(row, "pack") for row in ROWS)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty folders for input and output."""
    for place in ("input", "output"):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(folder_paths, f"{place}_directory", str(tmp_path / place))
    return tmp_path


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def names(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("method", ["concat", "add", "subtract", "average", "norm average", "max", "min"])
def test_rows_of_all_inputs_are_combined(method):
    given = [random(rows, 6, seed=rows) for rows in (2, 1, 3)]
    expected = combined(torch.cat(given), method)
    assert torch.equal(COMBINE().batch(given[0], method, given[1], embed5=given[2])[0], expected)


@pytest.mark.parametrize("shape", [(2, 6), (2, 257, 6), (2, 5, 6)])
def test_one_input_alone_passes_through(shape):
    embeds = random(*shape)
    assert torch.equal(COMBINE().batch(embeds)[0], embeds)


@pytest.mark.parametrize(
    ("shapes", "joined"),
    [
        (((2, 1, 6), (2, 3, 6)), (2, 4, 6)),
        (((2, 1, 257, 6), (2, 2, 257, 6)), (2, 3, 257, 6)),
        (((1, 6), (2, 6)), (3, 6)),
        (((2, 257, 6), (1, 257, 6)), (3, 257, 6)),
    ],
)
def test_rows_are_joined_and_negatives_with_negatives(shapes, joined):
    one, two = (random(*shape, seed=seed) for seed, shape in enumerate(shapes))
    (made,) = PAIRS().batch(one, two)
    axis = next(axis for axis, (a, b) in enumerate(zip(made.shape, one.shape)) if a != b)
    assert made.shape == joined
    assert torch.equal(made.narrow(axis, 0, one.shape[axis]), one)
    assert torch.equal(made.narrow(axis, one.shape[axis], two.shape[axis]), two)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"embed1": None}, "embed1 is nothing: connect the EMBEDS"),
        ({"embed1": torch.zeros(0, 6)}, "holds no features"),
        ({"embed1": torch.zeros(1, 6).int()}, "holds no features"),
        ({"embed3": [1]}, "embed3 is a list of 1"),
        ({"embed2": random(1, 7)}, r"embed2 has the shape \(1, 7\), and embed1 \(1, 6\)"),
        ({"embed4": random(1, 6, 6)}, r"embed4 has the shape \(1, 6, 6\)"),
        ({"embed1": random(2, 1, 257, 6)}, "combine such with IPAdapter Batch Embeds"),
        ({"method": "median"}, "method is the text 'median'"),
    ],
)
def test_what_cannot_be_combined_is_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        COMBINE().batch(**{"embed1": random(1, 6), **inputs})


def test_a_pair_and_features_alone_cannot_be_joined():
    with pytest.raises(ValueError, match="Only the embed2 holds references and their negative"):
        PAIRS().batch(random(1, 6), random(2, 1, 6))


@pytest.mark.parametrize("shape", [(3, 6), (2, 257, 4), (1, 577, 4), (2, 3, 6), (2, 1, 257, 4)])
def test_saved_features_are_loaded_to_the_bit_by_us_and_by_torch(places, shape):
    embeds = random(*shape)
    assert SAVE().save(embeds, "embeds/cat") == ()
    assert names(places / "output" / "embeds") == ["cat_00001.ipadpt"]
    assert torch.equal(torch.load(places / "output" / "embeds" / "cat_00001.ipadpt", weights_only=True), embeds)
    name = f"{os.path.join('embeds', 'cat_00001.ipadpt')} [output]"
    (loaded,) = LOAD().load(name)
    assert torch.equal(loaded, embeds) and loaded.device.type == "cpu"


def test_nothing_is_overwritten_and_numbers_go_on(places):
    for number in range(3):
        SAVE().save(random(1, 6, seed=number))
    (places / "output" / "IP_embeds_00007.ipadpt").touch()
    SAVE().save(random(1, 6))
    assert names(places / "output") == [f"IP_embeds_0000{number}.ipadpt" for number in (1, 2, 3, 7, 8)]
    assert (places / "output" / "IP_embeds_00007.ipadpt").stat().st_size == 0


def test_a_number_that_was_taken_meanwhile_is_passed_over(places, monkeypatch):
    """As older versions of ComfyUI count from 1 again, and two processes see the same number."""
    stale = (str(places / "output"), "cat", 1, "", "cat")
    monkeypatch.setattr(folder_paths, "get_save_image_path", lambda *_: stale)
    for number in range(2):
        SAVE().save(random(1, 6, seed=number), "cat")
    with open(places / "output" / "cat_00003.ipadpt.unfinished", "wb") as other:  # which another process is writing
        lock(other)
        SAVE().save(random(1, 6, seed=2), "cat")
    assert names(places / "output") == [
        "cat_00001.ipadpt",
        "cat_00002.ipadpt",
        "cat_00003.ipadpt.unfinished",
        "cat_00004.ipadpt",
    ]


def test_a_part_of_features_is_saved_without_the_rest(places):
    SAVE().save(random(1000, 64)[:1])
    assert (places / "output" / "IP_embeds_00001.ipadpt").stat().st_size < 4000


@pytest.mark.parametrize("prefix", ["", "  ", "../cat", "a/../../cat", "a\0b", None])
def test_a_prefix_that_is_no_name_below_the_output_is_refused(places, prefix):
    before = names(places)
    with pytest.raises(ValueError, match="filename_prefix is .*such as embeds/cat"):
        SAVE().save(random(1, 6), prefix)
    assert names(places) == before and names(places / "output") == []


def test_files_of_both_folders_are_offered(places):
    assert LOAD.INPUT_TYPES()["required"]["embeds"][0] == []
    (places / "input" / "sub").mkdir()
    torch.save(random(1, 6), places / "input" / "sub" / "one.ipadpt")
    torch.save(random(1, 6, seed=2), places / "input" / "two.ipadpt")
    (places / "input" / "cat.png").touch()
    SAVE().save(random(1, 6, seed=3))
    offered = LOAD.INPUT_TYPES()["required"]["embeds"][0]
    assert sorted(offered) == ["IP_embeds_00001.ipadpt [output]", os.path.join("sub", "one.ipadpt"), "two.ipadpt"]
    for name in ("two.ipadpt", "two.ipadpt [input]"):
        assert torch.equal(LOAD().load(name)[0], random(1, 6, seed=2))


class Intruder:
    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path("intruder"),))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ((random(1, 6), random(1, 6)), "old.ipadpt"),
        (Intruder(), "old.ipadpt"),
        (random(6), "features"),
        (random(1, 6) * torch.inf, "old.ipadpt"),
    ],
)
def test_files_with_anything_else_are_refused_and_run_no_code(places, monkeypatch, content, words):
    monkeypatch.chdir(places)
    torch.save(content, places / "input" / "old.ipadpt")
    with pytest.raises(ValueError, match=words):
        LOAD().load("old.ipadpt")
    assert "intruder" not in names(places)


@pytest.mark.parametrize("name", ["none.ipadpt", "../secret.ipadpt", "../secret.ipadpt [output]", None])
def test_files_that_are_not_offered_are_not_read(places, name):
    torch.save(random(1, 6), places / "secret.ipadpt")
    with pytest.raises(ValueError, match="not an .ipadpt file in ComfyUI's input or output|input embeds is nothing"):
        LOAD().load(name)


def test_a_changed_file_is_loaded_again(places):
    torch.save(random(1, 6), places / "input" / "one.ipadpt")
    before = LOAD.IS_CHANGED("one.ipadpt")
    assert LOAD.IS_CHANGED("one.ipadpt") == before
    torch.save(random(2, 6), places / "input" / "one.ipadpt")
    assert LOAD.IS_CHANGED("one.ipadpt") != before
