"""Graphs with nodes of other packs, made from tables of their nodes: prompts of programs, and files of three eras.

The tables say what the other packs have, apart from what this pack has. V1 is what IPAdapter_plus had until 22 March
2024. Inputs are [name, type or choices, optional, options].
"""

import json
from pathlib import Path

from image_prompt.demo.stand_ins import FACES as PICTURES_OF_FACES
from image_prompt.devtools.workflows import declared, is_widget, widget_names

from .conftest import EMBEDS_FILE

NODES: dict[str, dict] = json.loads(Path(__file__).with_name("ipadapter_plus.json").read_text())
MORE_NODES: dict[str, dict] = json.loads(Path(__file__).with_name("other_packs.json").read_text())
ENCODER_V1 = "ImagePromptEncoderV1"  # in files of its time it has the id of today's encoder
ID_V1 = "IPAdapterEncoder"
FACES = "INSIGHTFACE"
FACE_LOADER = "IPAdapterUnifiedLoaderFaceID"  # for one of whose presets there is a small file
COMMUNITY = "IPAdapterUnifiedLoaderCommunity"  # for whose presets there is none
ENDS_IN_WORDS = {COMMUNITY}
FOR_SDXL = {"IPAdapterStyleComposition", "IPAdapterStyleCompositionBatch", FACE_LOADER}
MAY_LACK_PICTURES = {  # nodes whose IMAGE outputs hold none if they are given none, or if the adapter reads no faces
    *("IPAdapterWeights", "IPAdapterWeightsFromStrategy"),
    *("IPAdapterFaceID", "IPAdapterFaceIDKolors", "IPAAdapterFaceIDBatch"),
}
FIRST = {  # how many widgets a node had in its first days
    "IPAdapter": 3,
    "IPAdapterAdvanced": 5,
    "IPAdapterBatch": 4,
    "IPAdapterFaceID": 6,
    "IPAAdapterFaceIDBatch": 6,
    "IPAdapterTiled": 6,
    "IPAdapterTiledBatch": 5,
    "IPAdapterEmbeds": 4,
    "IPAdapterWeights": 5,
    "IPAdapterInsightFaceLoader": 1,
}
(PICTURE_OF_FACE,) = PICTURES_OF_FACES
SIDE = 64  # of a sampled picture
FACE_FILE = "demo-faceid-plusv2_sdxl.safetensors"
FILES = {"SD1.5": "demo-ip-adapter-plus_sd15.safetensors", "SDXL": "demo-ip-adapter-plus_sdxl.safetensors"}
GIVEN = {  # values that are not the defaults, where a rule cannot give them
    "preset": "PLUS (high strength)",
    "embeds": EMBEDS_FILE,
    "layer_weights": "3:0.4, 8:0.9",
    "weights": "0.2, 0.9",
    "prompt": "a lighthouse\na harbour",
    "filename_prefix": "embeds/of a test",
    "timing": "ease_in_out",
    "method": "norm average",
    "enhance_tiles": 3,
    "type": "gaussian",
    "start_frame": 1,
    "end_frame": 3,
    "frames": 4,
}
TYPES = {  # of sockets -> where the world has one
    "MODEL": ["model", 0],
    "IPADAPTER": ["adapter", 0],
    "IMAGE": ["image", 0],
    "MASK": ["mask", 0],
    "CLIP_VISION": ["encoder", 0],
    "EMBEDS": ["embeds", 0],
    "IPADAPTER_PARAMS": ["params", 0],
    "WEIGHTS_STRATEGY": ["strategy", 5],
    "CONDITIONING": ["positive", 0],
    FACES: ["faces", 0],
}
NAMES = {"image_negative": ["other", 0], "image_composition": ["other", 0], "neg_embed": ["embeds", 1]}


def node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def world(base: str = "SD1.5") -> dict:
    """A small model and what steers it."""
    return {
        "model": node("ImagePromptDemoCheckpoint", base_model=base, seed=0),
        "adapter": node("IPAdapterModelLoader", ipadapter_file=FILES[base]),
        "encoder": node("ImagePromptLoadEncoder", encoder_name="demo-encoder.safetensors"),
        "image": node("LoadImage", image="grace_hopper.jpg"),
        "other": node("LoadImage", image="astronaut.jpg"),
        "mask": node("SolidMask", value=0.5, width=64, height=48),
        "embeds": node("IPAdapterEncoder", ipadapter=["adapter", 0], image=["image", 0], clip_vision=["encoder", 0]),
        "old embeds": node(ID_V1, clip_vision=["encoder", 0], image_1=["image", 0], ipadapter_plus=True),
        "params": node("IPAdapterRegionalConditioning", image=["image", 0]),
        "strategy": node("IPAdapterWeights", image=["image", 0]),
        "faces": node("IPAdapterInsightFaceLoader"),
        "positive": node("CLIPTextEncode", clip=["model", 1], text="a lighthouse"),
        "negative": node("CLIPTextEncode", clip=["model", 1], text="blurry"),
        "latent": node("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=2),
    }


def world_with_faces() -> dict:
    """A small model, an adapter that reads faces, and a picture of one."""
    return {
        **world("SDXL"),
        "adapter": node("IPAdapterModelLoader", ipadapter_file=FACE_FILE),
        "image": node("LoadImage", image=PICTURE_OF_FACE),
    }


def base_of(id: str) -> str:
    return "SDXL" if id in FOR_SDXL else "SD1.5"


def sampled(model: list, **more: object) -> dict:
    """A short run of a model, down to a saved picture."""
    given = {"seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, **more}
    links = {"positive": ["positive", 0], "negative": ["negative", 0], "latent_image": ["latent", 0]}
    return {
        "sampler": node("KSampler", model=model, **links, **given),
        "decoded": node("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "saved": node("SaveImage", images=["decoded", 0], filename_prefix="old graphs"),
    }


def shown(id: str, name: str = "it") -> dict:
    """What uses every output of a node."""
    found = {}
    for place, kind in enumerate(NODES[id]["outputs"]):
        if kind == "MODEL":
            found |= sampled([name, place])
        elif kind == "IMAGE" and id not in MAY_LACK_PICTURES:
            found[f"picture {place}"] = node("SaveImage", images=[name, place], filename_prefix="old graphs")
        else:
            found[f"text {place}"] = node("PreviewAny", source=[name, place])
    return found


def graph(id: str, inputs: dict) -> dict:
    """A prompt whose node `it` has these inputs, and that uses all its outputs."""
    return {**world(base_of(id)), "it": node(id, **inputs), **shown(id)}


def least(id: str) -> dict:
    """What a node cannot do without: links, and what to load."""
    return {
        name: source(id, name, kind) if is_socket(kind) else other(id, name, kind, options)
        for name, kind, optional, options in NODES[id]["inputs"]
        if not optional and (is_socket(kind) or kind == "FILES" or name == "preset")
    }


def all_inputs(id: str, faces: bool = False) -> dict:
    """A value or link for each input of a node, no value being its default.

    faces: also what recognises faces, if the node has it as an option
    """
    return {
        name: source(id, name, kind) if is_socket(kind) else other(id, name, kind, options)
        for name, kind, optional, options in NODES[id]["inputs"]
        if faces or kind != FACES or not optional
    }


def is_socket(kind: object) -> bool:
    return isinstance(kind, str) and kind != "FILES" and not is_widget(kind)


def source(id: str, name: str, kind: str) -> list:
    if kind == "EMBEDS" and NODES[id]["era"] == "V1":
        return ["old embeds", 0]
    return NAMES.get(name) or TYPES[kind]


def default(kind: object, options: dict) -> object:
    return options.get("default", kind[0] if isinstance(kind, list) else None)


def other(id: str, name: str, kind: object, options: dict) -> object:
    """A value that is allowed and not the default."""
    if id == FACE_LOADER and name == "preset":
        return "FACEID PLUS V2"
    if kind == "FILES":
        return FILES[base_of(id)] if name == "ipadapter_file" else EMBEDS_FILE
    if name in GIVEN and (not isinstance(kind, list) or GIVEN[name] in kind):
        return GIVEN[name]
    before = default(kind, options)
    if isinstance(kind, list):
        return next(each for each in kind[1:] or kind if each != before)
    if kind == "BOOLEAN":
        return not before
    if kind == "INT":
        return before + 1
    span = options["max"] - options["min"]
    return round(before + 0.1 * span if before < options["max"] else before - 0.1 * span, 3)


# --------------------------------------------------------------------------------------------------------------- files

ERAS = {  # era -> (what the ids of its files are, how many widgets nodes had when they were not as they are now)
    "V1": ("V1", {}),
    "V2a": ("V2", FIRST),
    "V2b": ("V2", {}),
}


def graph_of_era(era: str) -> dict:
    """A prompt with every node that the other pack had in an era. Models go through all nodes that take one."""
    ids = [id for id, about in NODES.items() if about["era"] == ERAS[era][0]]
    prompt = {**world(), **_renamed(world("SDXL"), "XL ")}
    used, models = list(ids), {"": ["model", 0], "XL ": ["XL model", 0]}
    for id in ids:
        prefix = "XL " if id in FOR_SDXL else ""
        prompt |= {id: _renamed({id: node(id, **all_inputs(id))}, prefix)[prefix + id]}
        if id not in ENDS_IN_WORDS:
            used += _through(prompt, id, models, prefix)
    for prefix, model in models.items():
        last = _renamed(sampled(["model", 0]), prefix)
        last[f"{prefix}sampler"]["inputs"]["model"] = model
        prompt |= last
        used += last
    return {name: prompt[name] for name in prompt if name in _needed(prompt, used)}


def _through(prompt: dict, id: str, models: dict, prefix: str) -> list[str]:
    """Let a node have the model of the one before, and show its other outputs: the names of what shows them."""
    if "model" in prompt[id]["inputs"]:
        prompt[id]["inputs"]["model"] = models[prefix]
        models[prefix] = [id, NODES[id]["outputs"].index("MODEL")]
    sinks = {f"{id} {name}": each for name, each in shown(id, id).items() if name.startswith(("picture", "text"))}
    prompt.update(sinks)
    return list(sinks)


def _renamed(prompt: dict, prefix: str) -> dict:
    """A prompt whose nodes, and links to them, have names that begin with a prefix."""
    return {
        prefix + name: node(
            each["class_type"],
            **{
                key: [prefix + value[0], value[1]] if isinstance(value, list) else value
                for key, value in each["inputs"].items()
            },
        )
        for name, each in prompt.items()
    }


def _needed(prompt: dict, names: list[str]) -> set[str]:
    """These nodes, and all that they are linked to."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += [value[0] for value in prompt[name]["inputs"].values() if isinstance(value, list)]
    return found


class SavedGraph:
    """A prompt as the browser saved it at a time.

    widgets: how many widgets nodes had then, if fewer than now
    """

    def __init__(self, prompt: dict, object_info: dict, widgets: dict[str, int] | None = None):
        self.prompt, self.widgets = prompt, widgets or {}
        self.ids = {name: number for number, name in enumerate(prompt, start=1)}
        self.info = {name: object_info[today(each)] for name, each in prompt.items()}

    def file(self) -> dict:
        links: list[list] = []
        nodes = [self._node(name, links) for name in self.prompt]
        for link, origin, output, *_ in links:
            nodes[origin - 1]["outputs"][output]["links"].append(link)
        counts = {"last_node_id": len(nodes), "last_link_id": len(links)}
        return {**counts, "nodes": nodes, "links": links, "groups": [], "config": {}, "extra": {}, "version": 0.4}

    def queued(self) -> dict:
        """{id: (class, inputs)} of the prompt that comes of it: absent widgets have their defaults."""
        return {
            str(number): (today(self.prompt[name]), {**self._values(name), **self._links(name)})
            for name, number in self.ids.items()
        }

    def _values(self, name: str) -> dict:
        kind, given = self.prompt[name]["class_type"], self.prompt[name]["inputs"]
        names = widget_names(self.info[name])
        saved = names[: self.widgets.get(kind, len(names))]
        before = {each: _default(self.info[name], each) for each in names if each}
        return before | {each: given[each] for each in saved if each in given and not isinstance(given[each], list)}

    def _links(self, name: str) -> dict:
        links = {key: value for key, value in self.prompt[name]["inputs"].items() if isinstance(value, list)}
        return {key: [str(self.ids[origin]), output] for key, (origin, output) in links.items()}

    def _node(self, name: str, links: list[list]) -> dict:
        number, info, values, linked = self.ids[name], self.info[name], self._values(name), self._links(name)
        kind, names = self.prompt[name]["class_type"], widget_names(info)
        last = dict(zip(names[1:], names))  # by the widget that the browser adds: the one before
        sockets = {each: about[0] for each, about in declared(info).items() if not is_widget(about[0])}
        inputs = []
        for slot, (each, type_) in enumerate(sockets.items()):
            inputs.append({"name": each, "type": type_, "link": None})
            if each in linked:
                inputs[-1]["link"] = len(links) + 1
                links.append([len(links) + 1, int(linked[each][0]), linked[each][1], number, slot, type_])
        widgets = [values[each] if each else BESIDE[last[each]] for each in names]
        return {
            "id": number,
            "type": kind,
            "pos": [350 * (number % 8), 420 * (number // 8)],
            "size": [300, 60],
            "flags": {},
            "order": number,
            "mode": 0,
            "inputs": inputs,
            "outputs": [
                {"name": label, "type": type_, "links": []} for label, type_ in zip(info["output_name"], info["output"])
            ],
            "properties": {"Node name for S&R": kind},
            "widgets_values": widgets[: self.widgets.get(kind, len(widgets))],
        }


BESIDE = {"image": "image", "seed": "fixed"}  # what the browser adds after a widget


def today(node: dict) -> str:
    """The id under which this pack has a node."""
    return ENCODER_V1 if node["class_type"] == ID_V1 and "image_1" in node["inputs"] else node["class_type"]


def _default(info: dict, name: str) -> object:
    kind, *rest = declared(info)[name]
    options = rest[0] if rest else {}
    choices = kind if isinstance(kind, list) else options.get("options", [None])
    return options["default"] if "default" in options else next(iter(choices), None)
