"""Make one graph in both formats: {id: (type, {input: value, or (id, slot)})}; and read what comes out as one."""

import json
from typing import Any

from image_prompt.nodes.compat.table import NODES

Graph = dict[str, tuple[str, dict[str, Any]]]

OTHERS = {  # of ComfyUI, as far as the graphs need them: sockets, widgets, outputs
    "CheckpointLoaderSimple": ({}, ["ckpt_name"], ["MODEL", "CLIP", "VAE"]),
    "CLIPVisionLoader": ({}, ["clip_name"], ["CLIP_VISION"]),
    "LoadImage": ({}, ["image", "upload"], ["IMAGE", "MASK"]),
    "ImageBatch": ({"image1": "IMAGE", "image2": "IMAGE"}, [], ["IMAGE"]),
    "PreviewImage": ({"images": "IMAGE"}, [], []),
    "KSampler": ({"model": "MODEL"}, ["seed", "control", "steps"], ["LATENT"]),
    "Reroute": ({"": "*"}, [], ["*"]),
    "PrimitiveNode": ({}, ["value", "control"], ["*"]),
    "PrimitiveFloat": ({}, ["value"], ["FLOAT"]),
    # and those of the other pack that load and prepare
    "IPAdapterModelLoader": ({}, ["ipadapter_file"], ["IPADAPTER"]),
    "IPAdapterUnifiedLoader": ({"model": "MODEL", "ipadapter": "IPADAPTER"}, ["preset"], ["MODEL", "IPADAPTER"]),
    "PrepImageForClipVision": ({"image": "IMAGE"}, ["interpolation", "crop_position", "sharpening"], ["IMAGE"]),
}
DEFAULTS = {"control": "fixed", "interpolation": "LANCZOS", "crop_position": "top", "sharpening": 0.0}


def shape(type: str, inputs: dict[str, Any]) -> tuple[dict[str, str], list[str], list[str]]:
    """The sockets, widgets and outputs of a node."""
    if type in OTHERS:
        return OTHERS[type]
    v1 = "image_1" in inputs
    (row,) = (each for each in NODES if each.id == ("ImagePromptEncoderV1" if v1 else type))
    sockets = {each.name: each.type for each in row.inputs if each.is_socket}
    return sockets, [each.name for each in row.inputs if not each.is_socket], [each.type for each in row.outputs]


def default(type: str, inputs: dict[str, Any], name: str) -> Any:
    if type in OTHERS:
        return DEFAULTS.get(name, 0)
    wanted = "ImagePromptEncoderV1" if "image_1" in inputs else type
    (row,) = (each for each in NODES if each.id == wanted)
    return next(each.default for each in row.inputs if each.name == name)


def prompt(graph: Graph) -> str:
    """The graph as a prompt, with the inputs that are given and no others."""
    made = {
        id: {"class_type": type, "inputs": {name: list(v) if isinstance(v, tuple) else v for name, v in inputs.items()}}
        for id, (type, inputs) in graph.items()
    }
    return json.dumps(made)


def workflow(graph: Graph, **changes: Any) -> str:
    """The graph as a workflow of the browser: all widgets have a value, and those that are linked a socket.

    changes: what is other than usual in nodes, by their ids with "n" before them
    """
    nodes, links = [], []
    for number, (id, (type, inputs)) in enumerate(graph.items()):
        sockets, widgets, outputs = shape(type, inputs)
        slots = [{"name": name, "type": kind, "link": None} for name, kind in sockets.items()]
        slots += [
            {"name": name, "type": "FLOAT", "widget": {"name": name}, "link": None}
            for name in widgets
            if isinstance(inputs.get(name), tuple)
        ]
        for at, slot in enumerate(slots):
            if isinstance(source := inputs.get(slot["name"]), tuple):
                slot["link"] = len(links) + 1
                links.append([len(links) + 1, int(source[0]), source[1], int(id), at, slot["type"]])
        values = [inputs.get(name, default(type, inputs, name)) for name in widgets]
        nodes.append(
            {
                "id": int(id),
                "type": type,
                "pos": [number * 340, 100],
                "size": [300, 200],
                "flags": {},
                "order": number,
                "mode": 0,
                "inputs": slots,
                "outputs": [{"name": kind, "type": kind, "links": []} for kind in outputs],
                "properties": {"Node name for S&R": type, "cnr_id": "comfyui_ipadapter_plus", "ver": "2.0.0"},
                "widgets_values": [0 if isinstance(each, tuple) else each for each in values],
                **changes.get(f"n{id}", {}),
            }
        )
    by_id = {node["id"]: node for node in nodes}
    for link, origin, slot, *_ in links:
        if origin in by_id:
            by_id[origin]["outputs"][slot]["links"].append(link)
    data = {"last_node_id": max(by_id), "last_link_id": len(links), "nodes": nodes, "links": links, "groups": []}
    return json.dumps({**data, "config": {}, "extra": {}, "version": 0.4}, indent=2)


def inputs_of(schema_widgets: list[str], node: dict, links: dict) -> dict[str, Any]:
    """The inputs that the browser would queue for a node."""
    given = dict(zip(schema_widgets, node["widgets_values"], strict=True))
    for slot in node["inputs"]:
        if slot["link"] is not None:
            origin, at = links[slot["link"]]
            given[slot["name"]] = (str(origin), at)
    return given


def links_of(scope: dict) -> dict[int, tuple[Any, int]]:
    """{number of a link: whence it comes}, in both forms."""
    lists = {each[0]: (each[1], each[2]) for each in scope["links"] if isinstance(each, list)}
    return lists | {
        each["id"]: (each["origin_id"], each["origin_slot"]) for each in scope["links"] if isinstance(each, dict)
    }
