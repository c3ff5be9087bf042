"""What a prompt says of the files that its loaders used, from the request that queues it to the text in a picture."""

import copy
import json
import os
import pickle
from types import SimpleNamespace

import pytest
import tiny
from safetensors.torch import save_file

from image_prompt.nodes.loading import files_used
from image_prompt.nodes.loading.files_used import with_files_used
from image_prompt.nodes.loading.load import LoadImageEncoder, LoadImagePromptAdapter


def prompt(**adapter: object) -> dict:
    """A graph in API format whose adapter is linked, with a new object for every part, as JSON gives it."""
    return copy.deepcopy(
        {
            "2": {"class_type": "ImagePromptLoadAdapter", "inputs": {"adapter_name": "a.safetensors", **adapter}},
            "3": {"class_type": "ImagePromptApply", "inputs": {"adapter": ["2", 0]}},
        }
    )


def queued(graph: dict) -> dict:
    """The metadata that ComfyUI hands to the nodes of a prompt."""
    return with_files_used({"prompt": graph})["extra_data"]["extra_pnginfo"]


def run(node: type, carried: dict | None, number: str, *inputs: object) -> None:
    hidden = SimpleNamespace(unique_id=number, extra_pnginfo=carried)
    type(node.__name__, (node,), {"hidden": hidden}).execute(*inputs)


def names(carried: dict) -> list[str]:
    """The names of the files as ComfyUI's savers write them: by `json.dumps` of each key."""
    return [file["name"] for file in json.loads(json.dumps(carried["image_prompt"]))["files"]]


@pytest.fixture
def files(folders, monkeypatch):
    monkeypatch.setattr(files_used, "_known", type(files_used._known)())
    for number, name in enumerate(("a", "b")):
        save_file(tiny.base_file(tiny.unet("SD1.5"), tokens=4 + number), folders / "ipadapter" / f"{name}.safetensors")
    save_file(tiny.encoder_file(), folders / "clip_vision" / "e.safetensors", tiny.DESCRIPTION)
    return folders


def test_a_picture_tells_what_each_file_is(files):
    carried = queued(prompt() | {"7": {"class_type": "ImagePromptLoadEncoder", "inputs": {}}})
    run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    run(LoadImageEncoder, carried, "7", "e.safetensors", "auto", "bf16")
    adapter, encoder = json.loads(json.dumps(carried["image_prompt"]))["files"]
    assert adapter == {
        "node": "2",
        "kind": "adapter",
        "folder": "ipadapter",
        "name": "a.safetensors",
        "size": os.path.getsize(files / "ipadapter" / "a.safetensors"),
        "family": "base",
        "base_model": "SD1.5",
        "encoder": "an encoder whose image_embeds is 24 wide",
        "dtype": "float32",
    }
    assert (encoder["node"], encoder["encoder"], encoder["dtype"]) == ("7", "tiny CLIP", "bfloat16")


def test_a_loader_that_does_not_run_again_is_known_whenever_its_prompt_came(files):
    before, waiting, another = queued(prompt()), queued(prompt()), queued(prompt(adapter_name="b.safetensors"))
    assert names(waiting) == []
    run(LoadImagePromptAdapter, before, "2", "a.safetensors")
    renumbered = {"9" + key: {**node, "inputs": {**node["inputs"]}} for key, node in prompt().items()}
    assert [names(each) for each in (before, waiting, queued(renumbered), another)] == [["a.safetensors"]] * 3 + [[]]


def test_what_is_linked_into_a_loader_counts(files):
    def linked(name: str) -> dict:
        source = {"class_type": "PrimitiveString", "inputs": {"value": name}}
        return prompt(adapter_name=["1", 0]) | {"1": source}

    first = queued(linked("a.safetensors"))
    run(LoadImagePromptAdapter, first, "2", "a.safetensors")
    assert names(queued(linked("a.safetensors"))) == ["a.safetensors"]
    assert names(queued(linked("b.safetensors"))) == []


def test_each_state_of_a_file_has_its_own_entry(files):
    """ComfyUI writes the fingerprint into the running graph, and keeps the results of earlier ones."""

    def state(fingerprint: str) -> tuple[dict, dict]:
        graph = prompt()
        carried = queued(graph)
        graph["2"]["is_changed"] = [fingerprint]
        return carried

    run(LoadImagePromptAdapter, state("old"), "2", "a.safetensors")
    run(LoadImagePromptAdapter, state("new"), "2", "b.safetensors")
    assert [names(state(each)) for each in ("old", "new", "never seen")] == [["a.safetensors"], ["b.safetensors"], []]


def test_a_loader_that_is_given_a_list_of_names_has_several_files_and_the_last_run_counts(files):
    carried, later = queued(prompt()), queued(prompt())
    for name in ("a.safetensors", "b.safetensors", "a.safetensors"):
        run(LoadImagePromptAdapter, carried, "2", name)
    assert names(carried) == ["a.safetensors", "b.safetensors"]
    run(LoadImagePromptAdapter, later, "2", "b.safetensors")
    assert names(later) == ["b.safetensors"]
    assert names(carried) == ["a.safetensors", "b.safetensors"]  # what a prompt has loaded itself stays so


def test_copies_are_plain_data(files):
    carried = queued(prompt())
    run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    used = carried["image_prompt"]
    for copied in (copy.deepcopy(carried)["image_prompt"], copy.copy(used), pickle.loads(pickle.dumps(used))):
        assert type(copied) is dict and copied == dict(used.items())


class Odd:
    """What another pack may put into a prompt: it has no text."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


DEEP, CIRCULAR = [], []
for _ in range(100_000):
    DEEP = [DEEP]
CIRCULAR.append(CIRCULAR)
ODD = {"pairs for keys": {(1, 2): 3}, "circle": CIRCULAR, "deep": DEEP, "no text": Odd(), "half a letter": "\ud800"}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_any_value_may_be_an_input(files, value):
    graph = prompt()
    graph["2"]["inputs"]["odd"] = value
    carried = queued(graph)
    run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    assert names(carried) == ["a.safetensors"]


def test_an_error_breaks_no_run_and_is_logged_once(files, monkeypatch, caplog):
    def key(*_: object) -> str:
        raise TypeError("a node of another pack")

    files_used._log_once.cache_clear()
    monkeypatch.setattr(files_used, "_key", key)
    carried = queued(prompt())
    run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    assert names(carried) == [] and copy.deepcopy(carried)["image_prompt"]["files"] == []
    assert [record.levelname for record in caplog.records if record.name == files_used.__name__] == ["WARNING"]
    files_used._log_once.cache_clear()


def test_a_value_is_looked_at_once_until_it_is_exchanged(files):
    looks = []

    class Picture:
        def __repr__(self) -> str:
            looks.append(self)
            return "megabytes"

    graph = prompt()
    inputs = graph["2"]["inputs"]
    first = inputs["picture"] = Picture()
    carried = queued(graph)
    run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    assert names(carried) == names(copy.deepcopy(carried)) == ["a.safetensors"] and looks == [first]
    inputs["picture"] = "another"
    assert names(carried) == []


def test_memory_is_bounded(files, monkeypatch):
    monkeypatch.setattr(files_used, "KEPT", 3)
    for number in range(5):
        carried = queued(prompt(unrelated=number))
        run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    assert len(files_used._known) == 3 and names(carried) == ["a.safetensors"]


def test_a_broken_catalogue_or_a_file_that_is_gone_breaks_no_run(files, tmp_path):
    (tmp_path / "user" / "__image_prompt" / "image-prompt-catalogue.json").write_text("no JSON")
    carried = queued(prompt())
    run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    assert names(carried) == ["a.safetensors"]
    assert files_used.lora_file("gone.safetensors", None) == {}


@pytest.mark.parametrize("carried", [None, {}, {"image_prompt": {"files": []}}, "text"])
def test_without_a_place_nothing_is_written(files, carried):
    """In Python without a server, or where another program copied the metadata."""
    before = copy.deepcopy(carried)
    run(LoadImagePromptAdapter, carried, "2", "a.safetensors")
    assert carried == before


LOADER = {"class_type": "ImagePromptLoadAdapter"}
CIRCLE = {"1": {**LOADER, "inputs": {"a": ["2", 0]}}, "2": {"class_type": "B", "inputs": {"b": ["1", 0]}}}
MALFORMED = [
    *(None, 3, "text", [], {}, {"prompt": None}, {"prompt": []}, {"prompt": {"1": None, "2": 5, "3": []}}),
    *({"prompt": {"1": {"class_type": kind}}} for kind in (None, 5, [], {})),
    {"prompt": {"1": LOADER}, "extra_data": None},
    {"prompt": {"1": LOADER}, "extra_data": {"extra_pnginfo": "text"}},
]


@pytest.mark.parametrize("request_body", MALFORMED, ids=repr)
def test_a_request_that_is_not_as_expected_is_left_as_it_is(request_body):
    before = copy.deepcopy(request_body)
    assert with_files_used(request_body) is request_body and request_body == before


@pytest.mark.parametrize(
    "graph",
    [
        CIRCLE,
        {"1": LOADER},
        *({"1": {**LOADER, "inputs": inputs}} for inputs in (None, 5, {"a": ["1", 0]}, {"a": [[], 0]})),
    ],
    ids=repr,
)
def test_a_graph_that_cannot_run_is_described_without_an_error(graph):
    assert names(queued(graph)) == []


def test_ten_thousand_nodes_in_a_row_are_no_deep_recursion():
    row = {str(number): {"class_type": "B", "inputs": {"x": [str(number + 1), 0]}} for number in range(10_000)}
    assert names(queued({"loader": {**LOADER, "inputs": {"x": ["0", 0]}}, **row})) == []


def test_nodes_that_look_into_the_workflow_of_a_prompt_without_one_find_it_empty():
    """They get None, and know what to do, where nothing is saved with a prompt."""
    carried = copy.deepcopy(queued(prompt()))
    assert carried["workflow"]["nodes"] == [] and "workflow" not in carried and list(carried) == ["image_prompt"]
    with pytest.raises(KeyError):
        carried["other"]
    workflow = {"nodes": [{"id": 1}]}
    request = with_files_used({"prompt": prompt(), "extra_data": {"extra_pnginfo": {"workflow": workflow}}})
    assert request["extra_data"]["extra_pnginfo"]["workflow"] is workflow
