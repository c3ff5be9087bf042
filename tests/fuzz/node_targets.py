"""Readers that only ComfyUI's nodes have: of graphs and old nodes, of the switch of the service, and of regions."""

import json
from collections.abc import Iterable
from pathlib import Path

from graphs import prompt, workflow
from shapes import json_with, texts_of
from target import Target, file_in
from text_targets import WORDS, in_text, typed

from image_prompt.migration import migrate
from image_prompt.migration.old_nodes import OLD_NODES
from image_prompt.migration.our_nodes import OUR_NODES
from image_prompt.nodes.compat.formulas.frame_weights import Strategy, scheduled, weighed_frames
from image_prompt.nodes.compat.reading import read_layer_weights
from image_prompt.nodes.controls.region_text import drawn, parse_regions, shapes_of_each
from image_prompt.nodes.panels.graph import Graph
from image_prompt.nodes.serving.switch import read_setting

WIRED = {"model": ("1", 0), "ipadapter": ("2", 0), "clip_vision": ("3", 0), "image": ("4", 0)}
LOADED = {
    "1": ("CheckpointLoaderSimple", {"ckpt_name": "sd_xl_base_1.0.safetensors"}),
    "2": ("IPAdapterModelLoader", {"ipadapter_file": "ip-adapter-plus_sdxl_vit-h.safetensors"}),
    "3": ("CLIPVisionLoader", {"clip_name": "vit-h.safetensors"}),
    "4": ("LoadImage", {"image": "a.png"}),
    "5": ("PrepImageForClipVision", {"image": ("4", 0), "crop_position": "pad"}),
    "6": ("Reroute", {"": ("1", 0)}),
}
APPLYING = (
    "IPAdapter",
    "IPAdapterAdvanced",
    "IPAdapterMS",
    "IPAdapterStyleComposition",
    "IPAdapterBatch",
    "IPAdapterTiled",
)
GRAPHS = [
    *(
        {**LOADED, "9": (kind, {**WIRED, "image": ("5", 0)}), "10": ("KSampler", {"model": ("9", 0)})}
        for kind in APPLYING
    ),
    {
        **{id: LOADED[id] for id in "14"},
        "2": ("IPAdapterUnifiedLoader", {"model": ("6", 0), "preset": "PLUS (high strength)"}),
        "6": LOADED["6"],
        "9": (
            "IPAdapter",
            {"model": ("2", 0), "ipadapter": ("2", 1), "image": ("4", 0), "weight_type": "style transfer"},
        ),
        "10": ("KSampler", {"model": ("9", 0)}),
    },
]
SUBGRAPH = {
    "id": "a-b",
    "name": "Apply",
    "inputNode": {"id": -10},
    "outputNode": {"id": -20},
    "inputs": [],
    "outputs": [],
}


def old_graphs() -> Iterable[bytes]:
    for graph in GRAPHS:
        yield prompt(graph).encode()
        whole = json.loads(workflow(graph))
        yield json.dumps(whole).encode()
    links = [
        dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link))
        for link in whole["links"]
    ]
    inner = {
        **SUBGRAPH,
        "nodes": whole["nodes"],
        "links": links,
        "reroutes": [{"id": 1, "pos": [0, 0], "linkIds": [1]}],
    }
    shows = {
        "id": 50,
        "type": "a-b",
        "properties": {"proxyWidgets": [["9", "weight"]]},
        "pos": {"0": 1, "1": 2},
        "size": [9, 9],
    }
    groups = [{"title": "g", "bounding": [0, 0, 5000, 900]}]
    outer = {"nodes": [{**shows, "inputs": [], "outputs": []}], "links": [], "groups": groups, "version": 0.4}
    yield json.dumps(
        {**outer, "definitions": {"subgraphs": [inner]}, "extra": {"linkExtensions": [{"id": 1}]}}
    ).encode()


def migration(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for base in (None, "SDXL"):
        made = migrate(text, base)
        json.dumps([vars(each) for each in (*made.changes, *made.stays)])
        if made.changes:
            json.loads(made.text)
            try:
                migrate(made.text, base)
            except ValueError as error:
                assert "There are no nodes" in str(error), error


def panel(data: bytes, folder: Path) -> None:
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return  # the route refuses it
    graph = Graph.of(given)
    for node in graph.nodes.values():
        list(graph.upstream(node))


PANEL = {
    "nodes": [
        {"id": 1, "type": "ImagePromptLoadAdapter", "values": {"adapter_name": "a"}, "before": []},
        {"id": "2", "type": "X", "values": {}, "before": [1, "2"]},
    ],
    "models": [{"name": "a.safetensors", "directory": "ipadapter", "url": "https://x/a.safetensors"}],
}


def setting(data: bytes, folder: Path) -> None:
    found = read_setting(str(file_in(folder, "service.json", data)))
    found.closed.encode()
    assert all(isinstance(host, str) for host in found.hosts)


def regions(text: str) -> None:
    shapes = parse_regions(text)
    for each in shapes_of_each(shapes, {1: "cat", 2: "dog"}).values():
        mask = drawn(each, (4, 4))
        assert 0 <= mask.min() and mask.max() <= 1


def old_frames(text: str) -> None:
    for method in ("full batch", "alternate batches"):
        weighed_frames(Strategy(weights=text, timing="custom", method=method, frame_count=2), 2)
    scheduled(Strategy(frame_count=2, frames=3, add_starting_frames=1), text)


CLASSES = (*OLD_NODES, *OUR_NODES, "KSampler", "Reroute", "PrimitiveNode")
INPUTS = (
    "weight",
    "weight_type",
    "layer_weights",
    "start_at",
    "model",
    "ipadapter",
    "image",
    "crop_position",
    "proxyWidgets",
)
in_graph = json_with(*CLASSES, *INPUTS, "0:1, 3:0.5", "style transfer precise", "nodes", "links", "bounding", "-10")

TARGETS: dict[str, Target] = {
    "migration": Target(migration, old_graphs, in_graph, longest=1 << 15),
    "graph of the panel": Target(
        panel, lambda: [json.dumps(PANEL).encode()], json_with("nodes", "models", "values", "before", "directory")
    ),
    "service.json": Target(
        setting,
        lambda: [b'{"serve": true, "hosts": ["my.machine", "[::1]"]}', b"{}"],
        json_with("serve", "hosts", "localhost"),
        (),
    ),
    "layer weights of old nodes": Target(typed(read_layer_weights), lambda: [b"3:2.5, 6:1", b"0:1\n"], in_text),
    "frame weights of old nodes": Target(typed(old_frames), lambda: [b"1.0, 0.5\n0.0"], in_text),
    "regions": Target(
        typed(regions),
        lambda: [b"# c\n1: rect 0 0, 0.5 1\ncat: not polygon 0 0, 1 0, 1 1", b"2: -rect 0,0,1,1"],
        texts_of(*WORDS, "rect ", "polygon ", "not ", "- ", "1: ", "cat: ", "# "),
    ),
}
