"""Write the blueprints, subgraphs that ComfyUI offers beside the nodes: `python dev.py blueprints`."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

if __package__:
    from .help_pages import import_pack
    from .locales import inputs_of, node_infos
    from .stages import ROOT
else:  # run as a script
    from help_pages import import_pack
    from stages import ROOT

    from locales import inputs_of, node_infos

FOLDER = ROOT / "subgraphs"
CATEGORY = "Image Prompt"
IN, OUT = -10, -20  # ids of a subgraph's own ends
COLUMN, ROW = 380, 420  # from node to node
SPACE = uuid.UUID("6f2c9f0e-52c1-4b5d-9d0e-0d6f6b0a7c11")  # of the ids

Place = tuple[str, int]  # a node, and the number of one of its outputs


@dataclass(frozen=True)
class Node:
    """A node of a blueprint.

    at: column and row
    wires: input -> the output before it, or the name of an input of the blueprint
    values: of inputs that hold values, where they are not the defaults
    """

    type: str
    at: tuple[int, float]
    wires: Mapping[str, Place | str]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Blueprint:
    """A subgraph with a model among its inputs, and the model that is steered as its output.

    promoted: what can be set outside -> the node and its input
    output: the node whose first output comes out
    """

    name: str
    description: str
    nodes: Mapping[str, Node]
    promoted: Mapping[str, tuple[str, str]]
    output: str


def models(**values: Any) -> Node:
    return Node("ImagePromptLoadModels", (0, 0), {"model": "model"}, values)


def encoded(image: str, row: float) -> Node:
    wires = {"clip_vision": ("models", 2), "image": image, "adapter": ("models", 1)}
    return Node("ImagePromptEncode", (1, row), wires, {})


def reference(encoder: str, row: float, **values: Any) -> Node:
    return Node("ImagePromptReference", (2, row), {"features": (encoder, 0)}, values)


def applied(column: int, *references: Place) -> Node:
    wires = {"model": ("models", 0), "adapter": ("models", 1)}
    grown = {f"references.reference_{number}": place for number, place in enumerate(references)}
    return Node("ImagePromptApplyReferences", (column, 0), wires | grown, {})


PURPOSE = {"purpose": ("models", "purpose")}
WIRED = {"model": ("models", 0), "adapter": ("models", 1), "features": ("encode", 0)}
BLUEPRINTS = (
    Blueprint(
        "Image Prompt from One Reference",
        "Lets one picture steer a model. The files are found by themselves.",
        {
            "models": models(),
            "encode": encoded("image", 0),
            "apply": Node("ImagePromptApply", (2, 0), WIRED, {"weight": 0.7}),
        },
        PURPOSE | {each: ("apply", each) for each in ("weight", "layers")} | {"crop": ("encode", "crop")},
        "apply",
    ),
    Blueprint(
        "Style and Composition of Two Pictures",
        "Takes colours and textures from one picture, shapes and places from another.",
        {
            "models": models(),
            "encode style": encoded("style", 0),
            "encode composition": encoded("composition", 1),
            "style": reference("encode style", 0, layers="style", name="style"),
            "composition": reference("encode composition", 1, layers="composition", name="composition"),
            "apply": applied(3, ("style", 0), ("composition", 0)),
        },
        PURPOSE | {f"{each}_weight": (each, "weight") for each in ("style", "composition")},
        "apply",
    ),
    Blueprint(
        "Two References in Two Regions",
        "Lets one picture act on the left and another on the right, or where the regions say.",
        {
            "models": models(),
            "encode first": encoded("first", 0),
            "encode second": encoded("second", 1),
            "first": reference("encode first", 0, weight=0.8, name="first"),
            "second": reference("encode second", 1, weight=0.8, name="second"),
            "regions": Node(
                "ImagePromptRegions",
                (3, 0),
                {"references.reference_0": ("first", 0), "references.reference_1": ("second", 0)},
                {"regions": "1: rect 0 0, 0.5 1\n2: rect 0.5 0, 1 1", "feather": 0.05},
            ),
            "apply": applied(4, ("regions", 0)),
        },
        PURPOSE
        | {f"{each}_weight": (each, "weight") for each in ("first", "second")}
        | {each: ("regions", each) for each in ("regions", "width", "height", "feather")},
        "apply",
    ),
    Blueprint(
        "Face from a Picture",
        "Gives the people of a model the face of a picture. The files for faces are for non-commercial research alone.",
        {
            "models": models(purpose="FaceID plus v2"),
            "faces": Node("ImagePromptFaceAnalyserLoader", (0, 1), {}, {"face_pack": "buffalo_l"}),
            "encode": Node(
                "ImagePromptEncodeFace",
                (1, 0),
                {
                    "insightface": ("faces", 0),
                    "image": "face",
                    "clip_vision": ("models", 2),
                    "adapter": ("models", 1),
                },
                {},
            ),
            "apply": Node("ImagePromptApply", (2, 0), WIRED, {"weight": 0.8}),
        },
        PURPOSE
        | {"face_pack": ("faces", "face_pack"), "choose": ("encode", "choose")}
        | {each: ("apply", each) for each in ("weight", "start", "end")},
        "apply",
    ),
)


class Writer:
    """Writes one blueprint as ComfyUI saves a subgraph. infos: what ComfyUI tells its frontend about each node"""

    def __init__(self, blueprint: Blueprint, infos: Mapping[str, dict[str, Any]]):
        self.blueprint, self.infos = blueprint, infos
        self.id = str(uuid.uuid5(SPACE, blueprint.name))
        self.numbers = {name: number for number, name in enumerate(blueprint.nodes, 1)}
        sockets = (wire for node in blueprint.nodes.values() for wire in node.wires.values() if isinstance(wire, str))
        self.inputs: list[dict[str, Any]] = [
            self.end(name, "MODEL" if name == "model" else "IMAGE") for name in dict.fromkeys(sockets)
        ] + [self.end(name, self.kind(*place)) for name, place in blueprint.promoted.items()]
        self.links: list[dict[str, Any]] = []

    def end(self, name: str, kind: str) -> dict[str, Any]:
        id = str(uuid.uuid5(SPACE, f"{self.blueprint.name}/{name}"))
        return {"id": id, "name": name, "type": kind, "linkIds": [], "label": name.replace("_", " "), "pos": [0, 0]}

    def kind(self, node: str, name: str) -> str:
        return inputs_of(self.infos[self.blueprint.nodes[node].type])[name][0]

    def slots(self, node: Node) -> list[tuple[str, str, bool]]:
        """(name, type, whether it holds a value) of each input, with those that grow, and a free one of these."""
        found = list[tuple[str, str, bool]]()
        for name, (kind, options) in inputs_of(self.infos[node.type]).items():
            if kind == "COMFY_AUTOGROW_V3":
                count = sum(each.startswith(f"{name}.") for each in node.wires)
                found += [(f"{name}.reference_{number}", "IMAGE_PROMPT", False) for number in range(count + 1)]
            else:
                found.append((name, kind, "default" in options or kind == "COMBO"))
        return found

    def connect(self, source: Place | str, target: int, slot: int, kind: str) -> int:
        number = len(self.links) + 1
        if isinstance(source, str):
            place = next(place for place, each in enumerate(self.inputs) if each["name"] == source)
            self.inputs[place]["linkIds"].append(number)
            start = (IN, place)
        else:
            start = (self.numbers[source[0]], source[1])
            kind = self.infos[self.blueprint.nodes[source[0]].type]["output"][source[1]]
        ends = dict(zip(("origin_id", "origin_slot", "target_id", "target_slot"), (*start, target, slot)))
        self.links.append({"id": number, **ends, "type": kind})
        return number

    def node(self, name: str, node: Node) -> dict[str, Any]:
        promoted = {input: outside for outside, (inside, input) in self.blueprint.promoted.items() if inside == name}
        inputs, values = list[dict[str, Any]](), list[Any]()
        options = inputs_of(self.infos[node.type])
        for place, (input, kind, holds_value) in enumerate(self.slots(node)):
            source = node.wires.get(input) or promoted.get(input)
            link = self.connect(source, self.numbers[name], place, kind) if source else None
            inputs.append({"name": input, "type": kind, "link": link})
            if holds_value:
                inputs[-1]["widget"] = {"name": input}
                values.append(self.value(node, input, options[input][1]))
        return {
            "id": self.numbers[name],
            "type": node.type,
            "pos": [node.at[0] * COLUMN, node.at[1] * ROW],
            "size": [300, 200],
            "flags": {},
            "order": self.numbers[name] - 1,
            "mode": 0,
            "inputs": inputs,
            "outputs": [],
            "properties": {"Node name for S&R": node.type},
            "widgets_values": values,
        }

    @staticmethod
    def value(node: Node, name: str, options: Mapping[str, Any]) -> Any:
        return node.values.get(name, options.get("default", next(iter(options.get("options", [])), None)))

    def definition(self) -> dict[str, Any]:
        nodes = [self.node(name, node) for name, node in self.blueprint.nodes.items()]
        out = self.end("model", "MODEL") | {"id": str(uuid.uuid5(SPACE, f"{self.blueprint.name}/out"))}
        out["linkIds"] = [self.connect((self.blueprint.output, 0), OUT, 0, "MODEL")]
        for number, node in enumerate(nodes, 1):
            info = self.infos[node["type"]]
            node["outputs"] = [
                {"name": name, "type": kind, "links": self.leaving(number, slot)}
                for slot, (name, kind) in enumerate(zip(info["output_name"], info["output"], strict=True))
            ]
        columns = max(node.at[0] for node in self.blueprint.nodes.values()) + 1
        return {
            "id": self.id,
            "version": 1,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": len(nodes),
                "lastLinkId": len(self.links),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": self.blueprint.name,
            "category": CATEGORY,
            "description": self.blueprint.description,
            "inputNode": {"id": IN, "bounding": [-260, 0, 160, 40 + 20 * len(self.inputs)]},
            "outputNode": {"id": OUT, "bounding": [columns * COLUMN, 0, 120, 60]},
            "inputs": self.inputs,
            "outputs": [out],
            "widgets": [],
            "nodes": nodes,
            "groups": [],
            "links": self.links,
            "extra": {},
        }

    def leaving(self, node: int, slot: int) -> list[int]:
        return [each["id"] for each in self.links if (each["origin_id"], each["origin_slot"]) == (node, slot)]

    def file(self) -> dict[str, Any]:
        """The saved graph that holds the subgraph as its one node, with what is promoted on it."""
        definition = self.definition()
        inputs = [{key: each[key] for key in ("name", "type", "label")} | {"link": None} for each in self.inputs]
        for each in inputs:
            if each["name"] in self.blueprint.promoted:
                each["widget"] = {"name": each["name"]}
        node = {
            "id": 1,
            "type": self.id,
            "pos": [0, 0],
            "size": [320, 200],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": inputs,
            "outputs": [{"name": "model", "type": "MODEL", "links": []}],
            "title": self.blueprint.name,
            "properties": {"proxyWidgets": [["-1", name] for name in self.blueprint.promoted]},
            "widgets_values": [self.outside(*place) for place in self.blueprint.promoted.values()],
        }
        graph = {"revision": 0, "last_node_id": 1, "last_link_id": 0, "nodes": [node], "links": [], "groups": []}
        return graph | {"definitions": {"subgraphs": [definition]}, "config": {}, "extra": {}, "version": 0.4}

    def outside(self, node: str, name: str) -> Any:
        inside = self.blueprint.nodes[node]
        return self.value(inside, name, inputs_of(self.infos[inside.type])[name][1])


def texts(blueprints: Sequence[Blueprint] = BLUEPRINTS) -> dict[str, str]:
    """{name of the file: what is written in it}"""
    infos = {info["name"]: info for info in node_infos()}
    files = {each.name: Writer(each, infos).file() for each in blueprints}
    return {f"{name}.json": json.dumps(file, indent=1, ensure_ascii=False) + "\n" for name, file in files.items()}


def main() -> None:
    import_pack()
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
