"""Files of three eras of IPAdapter_plus open in a browser, run, and say what they said, in both renderers."""

import pytest

from image_prompt.devtools.comfyui import Server

from ..old_graphs import ENCODER_V1, ERAS, ID_V1, SavedGraph, graph_of_era, node
from .test_templates import is_read, nodes_and_inputs, ran

SCENARIO = "old_graphs"
INNER, OUTER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def saved(object_info: dict) -> dict[str, SavedGraph]:
    return {era: SavedGraph(graph_of_era(era), object_info, widgets) for era, (_, widgets) in ERAS.items()}


def subgraph(id: str, *nodes: dict) -> dict:
    ends = {
        "inputNode": {"id": -10, "bounding": [0, 0, 100, 60]},
        "outputNode": {"id": -20, "bounding": [9, 0, 100, 60]},
    }
    lists = {name: [] for name in ("inputs", "outputs", "widgets", "links", "groups")}
    return {"id": id, "version": 1, "revision": 0, "name": id, "state": {}, "nodes": nodes, **ends, **lists}


@pytest.fixture(scope="module")
def graphs(object_info) -> dict[str, SavedGraph]:
    return saved(object_info)


def nested(object_info: dict) -> dict:
    """A file with the older encoder in a subgraph of a subgraph."""
    (encoder,) = SavedGraph({"it": node(ID_V1, image_1=None, noise=0.3)}, object_info).file()["nodes"]
    inner, outer = ({**encoder, "type": id, "inputs": [], "outputs": [], "widgets_values": []} for id in (INNER, OUTER))
    subgraphs = [subgraph(OUTER, inner), subgraph(INNER, encoder)]
    return {"nodes": [outer], "links": [], "version": 0.4, "definitions": {"subgraphs": subgraphs}}


def task(server: Server, object_info: dict) -> dict:
    files = {era: graph.file() for era, graph in saved(object_info).items()}
    return {"graphs": files, "nested": nested(object_info), "search": "ipadapter advanced"}


@pytest.mark.parametrize("era", ERAS)
def test_a_file_opens_and_runs_as_it_was_saved(seen, server, graphs, era):
    found = seen["graphs"][era]
    assert (found["missing"], found["warned"]) == ([], False)
    assert nodes_and_inputs(ran(server, found["ended"])["prompt"][2]) == graphs[era].queued()


def test_the_older_encoder_in_subgraphs_has_its_values(seen):
    (opened,) = seen["nested"].values()
    assert (opened["class_type"], opened["inputs"]["noise"]) == (ENCODER_V1, 0.3)


def test_the_search_finds_the_nodes_by_the_names_that_people_know(seen):
    assert is_read("IPAdapter Advanced", seen["found"])
