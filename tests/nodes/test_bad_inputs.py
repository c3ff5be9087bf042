"""Bad inputs are refused before sampling, with what was given, what was expected, and what to do."""

from collections.abc import Iterator

import folder_paths
import pytest
import torch
from bad_inputs import ALL_NODES, BAD_INPUTS, EXCUSES, Bad, execute, good, inputs_of, name_of

from image_prompt.nodes import NODES
from image_prompt.nodes.compat.table import PACKS

pytestmark = pytest.mark.usefixtures("folders")

WRONG = {
    "nothing": None,
    "a number": 3.7,
    "a text": "a word",
    "a list": [1, 2],
    "a dict": {"image_proj": {}, "ip_adapter": {}},
    "an empty tensor": torch.zeros(0),
}
WITHOUT_INPUTS = ("ModelPathsReport", "PuLID PulidEvaClipLoader")


@pytest.fixture(autouse=True)
def output_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    (tmp_path / "output").mkdir()


def name_of_row(row: Bad) -> str:
    return f"{name_of(row.node)}-{'-'.join(row.inputs)}"


@pytest.mark.parametrize("row", BAD_INPUTS, ids=name_of_row)
def test_a_bad_input_is_refused_in_words(row):
    inputs = good(row.node)
    for name, value in row.inputs.items():
        inputs[name] = value(inputs) if callable(value) else value
    with pytest.raises(ValueError, match=row.message) as refusal:
        execute(row.node, inputs)
    assert type(refusal.value) is ValueError


@pytest.mark.parametrize("node", [node for node in ALL_NODES if name_of(node) not in WITHOUT_INPUTS], ids=name_of)
def test_a_value_of_a_wrong_type_is_refused_in_words_or_works(node):
    """Each value as each input, beside good ones, with which the node works."""
    given = good(node)
    execute(node, given)
    for name in inputs_of(node):
        for wrong, value in WRONG.items():
            try:
                execute(node, {**given, name: value})
            except Exception as refusal:  # noqa: BLE001
                assert type(refusal) is ValueError, f"{name}, {wrong}: {refusal!r}"


def test_the_tables_know_every_node():
    assert {*ALL_NODES} == {*NODES, *(row for pack in PACKS for row in pack.rows)}


def covered() -> Iterator[tuple[str, str]]:
    """The inputs of which a row says that a value is wrong: alone, or beside those that this one needs."""
    for row in BAD_INPUTS:
        for name in row.inputs:
            yield name_of(row.node), name.partition(".")[0]


def test_every_input_of_every_node_is_in_a_row_or_has_an_excuse():
    every = {(name_of(node), name) for node in ALL_NODES for name in inputs_of(node)}
    rows = {*covered()}
    assert rows <= every, "no such input"
    assert sorted(every - rows - EXCUSES.keys()) == [], "without a row"
    assert sorted(EXCUSES.keys() - every | EXCUSES.keys() & rows) == [], "excused, and not there, or in a row"
