"""A node that fails tells the browser that queued it, with what would help as data."""

import asyncio

import pytest
import tiny
from comfy_execution.utils import CurrentNodeContext
from own_files import OWN, put_adapter, put_catalogue

from image_prompt.nodes import NODES, ImagePromptExtension, notices
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import PACKS
from image_prompt.nodes.loading.face_analyser import LoadFaceAnalyser
from image_prompt.nodes.loading.load import LoadImagePromptAdapter
from image_prompt.nodes.loading.models import LoadImagePromptModels

LINK = "https://huggingface.co/me/mine/resolve/main/tiny.safetensors"


@pytest.fixture
def told(monkeypatch):
    """What browsers were told: [(event, data, client)]."""
    sent = []

    class Browser:
        client_id = "a browser"

        def send_sync(self, *message):
            sent.append(message)

    monkeypatch.setattr(notices, "prompt_server", Browser)
    return sent


def fail(node, *given):
    with pytest.raises(ValueError) as error, CurrentNodeContext("a prompt", "7"):
        notices.telling_node(node).execute(*given)
    return str(error.value)


def remedies(told):
    ((event, data, client),) = told
    assert (event, client) == ("image-prompt.notices", "a browser")
    return [(each["do"], each["file"] or each["link"]) for each in data["remedies"]]


def test_the_file_that_fits_can_be_used(folders, catalogue, told):
    put_adapter(folders, "of mine/renamed.safetensors")
    said = fail(LoadImagePromptAdapter, "tiny.safetensors")
    assert said.startswith("tiny.safetensors is not in models/ipadapter: ")
    assert told[0][1]["text"] == said and (told[0][1]["prompt_id"], told[0][1]["node"]) == ("a prompt", "7")
    assert remedies(told) == [("use", "of mine/renamed.safetensors"), ("open", "")]
    assert "adapter_name" in told[0][1]["remedies"][0]["inputs"]
    assert notices.missing("adapter_name", "tiny.safetensors") == {key: told[0][1][key] for key in ("text", "remedies")}


def test_any_file_of_a_kind_is_not_said_to_fit(folders, catalogue, told):
    put_adapter(folders, "renamed.safetensors")
    fail(LoadImagePromptAdapter, "nobody knows.safetensors")
    assert remedies(told) == [("open", "")]


def test_the_link_of_a_missing_file_can_be_copied(folders, told):
    put_catalogue(folders, {**OWN, "url": LINK})
    fail(LoadImagePromptModels, tiny.unet("SD1.5"), "standard")
    assert ("copy", "tiny.safetensors") in remedies(told) and told[0][1]["remedies"][-1]["do"] == "open"
    assert LINK in {each["link"] for each in told[0][1]["remedies"]}


def test_the_link_of_a_missing_face_pack_can_be_copied(folders, told):
    fail(LoadFaceAnalyser, "buffalo_l")
    assert remedies(told) == [("copy", "buffalo_l.zip"), ("open", "")]


def test_nobody_is_told_who_did_not_ask(folders, told):
    with pytest.raises(ValueError):
        notices.telling_node(LoadImagePromptAdapter).execute("tiny.safetensors")
    assert told == []


def test_every_node_tells(told):
    nodes = asyncio.run(ImagePromptExtension().get_node_list())
    assert [node.GET_SCHEMA().node_id for node in nodes] == [node.GET_SCHEMA().node_id for node in NODES]
    assert all(hasattr(node.execute.__func__, "__wrapped__") for node in nodes)
    rows = [row for pack in PACKS for row in pack.rows]
    for kind in (node_class(row, "a module") for row in rows):
        assert hasattr(getattr(kind, kind.FUNCTION), "__wrapped__")
