"""What becomes of each node of the other pack: one rule for every kind, which answers with nodes of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .graph import PRIMITIVE, Graph, Node, Source, Stays
from .layers import LIMIT, Base, Layers, layers_of, listed_layers
from .old_nodes import FACES, OLD_NODES, V1_ENCODER
from .our_nodes import REFERENCES

FACE_FILE = re.compile(r"face-?_?id|portrait|instant-?id", re.IGNORECASE)
BASE_NAMES: Mapping[Base, re.Pattern[str]] = {  # how the names of adapters and checkpoints say what they are for
    "SDXL": re.compile(r"sd[-_ ]?xl|xl[-_. \d]|xl$|pony|illustrious|noob|kolors", re.IGNORECASE),
    "SD1.5": re.compile(r"sd[-_ ]?1?\.?5|sd[-_ ]?v?1[-._]|v1[-._]5", re.IGNORECASE),
}
CHECKPOINT = ("ckpt_name", "unet_name")
PURPOSES: Mapping[str, str] = {  # how a preset begins, in lower case -> purpose of Load Image Prompt Models
    "light": "light",
    "standard": "standard",
    "vit-g": "vit-G",
    "plus (": "plus",
    "plus face": "plus face",
    "full face": "full face",
    "composition": "composition",
    "kolors": "plus",
}
SINGLE = ("LoadImage", "LoadImageMask", "LoadImageOutput")  # they give one image, but for films
BATCHES = ("ImageBatch", "BatchImagesNode")
CROPS = ("top", "bottom", "left", "right", "center", "pad")
LISTS = ("IPAdapterWeights", "IPAdapterWeightsFromStrategy", "IPAdapterCombineWeights")
COMBINING = ("concat", "add", "subtract", "average")  # with the same meaning here
PICTURES = "Past the last reference, pictures of a batch begin again at the first one; there they got the last."
MASKS = "A small part of the mask counts for the share it covers; there it could be missed."
FILES = "It finds the files by what they hold: the report in it says which it took."
NEGATIVE = (
    "With adapters of the kinds plus and full face the picture differs: they move away from an empty picture here, and "
    "from a black one there. To keep that, encode a black image and connect it to negative."
)
SEVERAL = "If its negative is several images, all of them count here; there the first one did."
INTERPOLATION = "Images are made small by the encoder's own filter, whatever was chosen for interpolation."


@dataclass(frozen=True)
class Ours:
    """An output of a node of ours: that which an old node becomes, or one of its helpers."""

    key: str
    slot: int = 0


def is_link(value: object) -> bool:
    return isinstance(value, Source | Ours)


@dataclass
class NewNode:
    """A node of ours in place of an old one, or beside it.

    inputs: {name: `Source`, `Ours` or plain value}; inputs that are left out have their defaults
    """

    type: str
    inputs: dict[str, Any]


@dataclass
class Pieces:
    """What an old node becomes.

    main: the node that takes its place
    helpers: nodes before it, by a word that tells them apart
    uses: ids of old nodes that must be rewritten too, because these nodes read what they become
    widgets: {name of an old widget: (key, name) of the widget of ours that does the same}
    in_middle: whether it acts in the middle block, in which the old node did not
    """

    main: NewNode
    helpers: dict[str, NewNode] = field(default_factory=dict[str, NewNode])
    uses: set[str] = field(default_factory=set[str])
    notes: list[str] = field(default_factory=list[str])
    widgets: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    in_middle: bool = False


@dataclass
class Adapter:
    """The adapter that a node reads, the encoder that comes with it if one does, and what is known of its model."""

    adapter: Ours
    encoder: Ours | None
    base: Base | None


def helper_key(id: str, word: str) -> str:
    return f"{id} {word}"


class Rules:
    """The rules for one graph. Each is asked once per node; `Stays` says why a node is not rewritten."""

    def __init__(self, graph: Graph, base: Base | None = None) -> None:
        self.graph = graph
        self.base: Base | None = base
        self._done: dict[str, Pieces | Stays] = {}

    def pieces(self, node: Node) -> Pieces:
        """What a node becomes."""
        if node.id not in self._done:
            self._done[node.id] = Stays("It reads itself.")  # for graphs that go in a circle
            self._done[node.id] = self._apply(node)
        done = self._done[node.id]
        if isinstance(done, Stays):
            raise done
        return done

    def _apply(self, node: Node) -> Pieces | Stays:
        try:
            if reason := OLD_NODES[node.row].stays:
                raise Stays(reason)
            pieces = RULES[node.row](self, node)
            if lost := node.shown - set(pieces.widgets):
                raise Stays(f"The node of its subgraph shows its widget {min(lost)}, which has no counterpart.")
            return pieces
        except Stays as reason:
            return reason

    # ------------------------------------------------------------------------------------------------------- inputs

    def constant(self, node: Node, name: str) -> Any:
        """The plain value of an input, also where a primitive node holds it."""
        value = node.get(name)
        if not isinstance(value, Source):
            return value
        origin, _ = self.graph.origin(value)
        held = origin.inputs.get("value") if origin and origin.type.startswith(PRIMITIVE) else None
        if held is None or isinstance(held, Source):
            raise Stays(f"Its {name} comes through a link, and what becomes of it depends on the value.")
        return held

    def word(self, node: Node, name: str, default: str = "") -> str:
        value = self.constant(node, name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise Stays(f"Its {name} is {value!r:.60}, and should be a text.")
        return value

    def number(self, node: Node, name: str, low: float, high: float) -> Any:
        """A number, or the link that gives one."""
        value = node.get(name)
        if isinstance(value, Source):
            origin, _ = self.graph.origin(value)
            if origin and origin.type in LISTS:
                raise Stays(f"Its {name} is a list from {origin.type}. Type it into frame_weights of a Reference.")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise Stays(f"Its {name} is {value!r:.60}: here it lies between {low:g} and {high:g}.")
        return value

    def link(self, node: Node, name: str, what: str) -> Source:
        value = node.get(name)
        if not isinstance(value, Source):
            raise Stays(f"Nothing is connected to {name}: it needs {what}.")
        return value

    def origin(self, node: Node, name: str, what: str) -> tuple[Node, int]:
        """The old node that an input reads, and which of its outputs; it is rewritten too."""
        found, slot = self.graph.origin(self.link(node, name, what))
        if found is None:
            raise Stays(f"Its {name} comes from outside of its subgraph.")
        if found.mode not in ("active", node.mode):
            raise Stays(f"Its {name} comes from node {found.id}, which is {found.mode}.")
        if found.row not in MAKERS[name]:
            raise Stays(f"Its {name} comes from node {found.id}, {found.type}, which stays.")
        try:
            self.pieces(found)
        except Stays as reason:
            raise Stays(f"Its {name} comes from node {found.id}, {found.type}, which stays: {reason}") from reason
        return found, slot

    def adapter(self, node: Node) -> Adapter:
        source = self.graph.origin(self.link(node, "ipadapter", "an IP-Adapter"))[0]
        if source and source.mode == "bypassed" and node.mode == "active" and "ipadapter" in source.inputs:
            return self.adapter(source)  # a bypassed loader hands on the one before it
        loader, _ = self.origin(node, "ipadapter", "an IP-Adapter")
        unified = loader.row in UNIFIED
        return Adapter(
            Ours(loader.id, 1 if unified else 0), Ours(loader.id, 2) if unified else None, self._base(loader)
        )

    def _base(self, loader: Node) -> Base | None:
        names = [loader.get("preset" if loader.row in UNIFIED else "ipadapter_file"), *self._checkpoints(loader)]
        said: list[Base] = [base for name in names if isinstance(name, str) for base in _bases_in(name)]
        return said[0] if said else self.base

    def _checkpoints(self, node: Node) -> list[str]:
        """The name of the checkpoint from which the model of a node comes, if it is found."""
        seen = set[str]()
        here: Node | None = node
        while here and here.id not in seen:
            seen.add(here.id)
            if names := [here.inputs[name] for name in CHECKPOINT if isinstance(here.inputs.get(name), str)]:
                return names
            model = here.inputs.get("model")
            here = self.graph.origin(model)[0] if isinstance(model, Source) else None
        return []

    def encoder(self, node: Node, adapter: Adapter | None) -> Source | Ours:
        given = node.get("clip_vision")
        if isinstance(given, Source):
            return given
        if adapter is None or adapter.encoder is None:
            raise Stays("Nothing is connected to clip_vision, and its loader gives no image encoder.")
        return adapter.encoder

    def is_single(self, source: Source) -> bool:
        """Whether a link surely gives one image."""
        origin, _ = self.graph.origin(source)
        if origin and origin.row == CROP and isinstance(image := origin.get("image"), Source):
            return self.is_single(image)
        return origin is not None and origin.type in SINGLE

    def _is_batch(self, source: Source) -> bool:
        """Whether a link surely gives more than one image."""
        origin, _ = self.graph.origin(source)
        return origin is not None and origin.type in BATCHES

    # ------------------------------------------------------------------------------------------------------ loaders

    def load_adapter(self, node: Node) -> Pieces:
        name = node.get("ipadapter_file")
        if not isinstance(name, str | Source):
            raise Stays(f"Its ipadapter_file is {name!r:.60}, and should be the name of a file.")
        if isinstance(name, str) and FACE_FILE.search(name):
            raise Stays(f"{name:.60} is an adapter for faces, which only nodes of the other pack's ids take.")
        main = NewNode("ImagePromptLoadAdapter", {"adapter_name": name})
        return Pieces(main, widgets={"ipadapter_file": (node.id, "adapter_name")})

    def load_models(self, node: Node) -> Pieces:
        preset = self.word(node, "preset")
        purpose = next((each for begin, each in PURPOSES.items() if preset.lower().startswith(begin)), None)
        if purpose is None:
            raise Stays(f"Its preset {preset!r:.60} is not known.")
        model = self.link(node, "model", "a model")
        return Pieces(NewNode("ImagePromptLoadModels", {"model": model, "purpose": purpose}), notes=[FILES])

    # ----------------------------------------------------------------------------------------------------- features

    def crop(self, node: Node) -> Pieces:
        """What the images of Encode get, of which the node is `MOVED` into Encode."""
        position, sharpening = self.word(node, "crop_position"), self.constant(node, "sharpening")
        if position not in CROPS:
            raise Stays(f"Its crop_position {position!r:.60} is not known.")
        if sharpening:
            raise Stays("It sharpens, which no other node here does: Encode Image Prompt reads what it makes.")
        if node.mode != "active":
            raise Stays(f"It is {node.mode}: Encode Image Prompt reads the image that it hands on, if it does.")
        image = self.link(node, "image", "an image")
        return Pieces(NewNode("", {"image": image, "crop": position}), notes=[INTERPOLATION])

    def encoding(self, image: Source, encoder: Source | Ours, adapter: Adapter | None) -> NewNode:
        inputs: dict[str, Any] = {"clip_vision": encoder, "image": image}
        return NewNode("ImagePromptEncode", inputs | ({"adapter": adapter.adapter} if adapter else {}))

    def encode(self, node: Node) -> Pieces:
        if isinstance(node.get("mask"), Source):
            raise Stays("Its mask darkens the image after it was normalised; Encode Image Prompt cuts it out instead.")
        if (weight := self.constant(node, "weight")) != 1:
            raise Stays(f"Its weight is {weight!r:.20}: it multiplies the features, which no other node here does.")
        adapter = self.adapter(node)
        main = self.encoding(self.link(node, "image", "an image"), self.encoder(node, adapter), adapter)
        return Pieces(main, uses={adapter.adapter.key})

    def encode_v1(self, node: Node) -> Pieces:
        if self.constant(node, "noise"):
            raise Stays(NOISY)
        numbers = [number for number in range(1, 5) if isinstance(node.get(f"image_{number}"), Source)]
        for number in numbers:
            if (weight := self.constant(node, f"weight_{number}")) != 1:
                raise Stays(f"Its weight_{number} is {weight!r:.20}: it multiplies the features, as nothing else does.")
        encoder = self.encoder(node, None)
        made = [self.encoding(self.link(node, f"image_{each}", "an image"), encoder, None) for each in numbers]
        if len(made) == 1:
            return Pieces(made[0])
        helpers = {f"encode {number}": each for number, each in zip(numbers, made, strict=True)}
        return Pieces(_combined([Ours(helper_key(node.id, word)) for word in helpers], "concat"), helpers)

    def combine(self, node: Node) -> Pieces:
        method = self.word(node, "method", "concat")  # the node of 2023 has none
        if method not in COMBINING:
            raise Stays(f"Its method {method!r:.60} is not one of those that mean the same here.")
        names = [name for name in EMBEDS if isinstance(node.get(name), Source)]
        found = [self.origin(node, name, "features") for name in names]
        if not found:
            raise Stays("Nothing is connected to embed1: it needs features.")
        if any(slot for _, slot in found):
            raise Stays("It combines negatives, which are made from the adapter here.")
        features = [Ours(origin.id) for origin, _ in found]
        return Pieces(_combined(features, method), uses={each.key for each in features})

    def features(self, node: Node, name: str) -> Ours:
        origin, slot = self.origin(node, name, "features")
        if slot:
            raise Stays(f"Its {name} is a negative, which is made from the adapter here.")
        return Ours(origin.id)

    def negative(self, node: Node) -> Ours | None:
        """The features to move away from; None for those that an adapter has by itself."""
        if not isinstance(node.get("neg_embed"), Source):
            return None
        origin, slot = self.origin(node, "neg_embed", "features")
        return None if slot else Ours(origin.id)

    # ------------------------------------------------------------------------------------------------------- applying

    def apply(self, node: Node) -> Pieces:
        """Any node that applies an adapter to a model, but for style and composition in one."""
        given = EMBED_INPUTS.get(node.row)
        adapter = self.adapter(node)
        pieces = Pieces(NewNode("", {}), uses={adapter.adapter.key})
        act = self._act(node, adapter.base)
        if given:
            features = self.features(node, given)
            pieces.uses.add(features.key)
            if negative := self.negative(node):
                act.inputs["negative"] = negative
                pieces.uses.add(negative.key)
        else:
            self._check_pictures(node)
            encoder = self.encoder(node, adapter)
            image = self.link(node, "image", "an image")
            features = self._helper(node, pieces, "encode", self.encoding(image, encoder, adapter))
            self._combining(node, image, act)
            self._add_negative(node, pieces, act, encoder, adapter)
        self._finish(node, pieces, adapter, [(features, act)])
        return pieces

    def apply_style_and_composition(self, node: Node) -> Pieces:
        """Two references, which act in different blocks of SDXL."""
        adapter = self.adapter(node)
        encoder = self.encoder(node, adapter)
        pieces = Pieces(NewNode("", {}), uses={adapter.adapter.key})
        expand = self.constant(node, "expand_style")
        negative = Act()
        self._add_negative(node, pieces, negative, encoder, adapter)
        both = list[tuple[Ours, Act]]()
        for part, layers in (("style", "strong style" if expand else "style"), ("composition", "composition")):
            image = self.link(node, f"image_{part}", "an image")
            act = Act(layers=Layers(layers, in_middle=bool(expand) and part == "style"), inputs={**negative.inputs})
            self._common(node, act, f"weight_{part}")
            self._combining(node, image, act)
            features = self._helper(node, pieces, f"encode {part}", self.encoding(image, encoder, adapter))
            both.append((features, act))
        self._finish(node, pieces, adapter, both)
        return pieces

    def _check_pictures(self, node: Node) -> None:
        if isinstance(node.get("insightface"), Source):
            raise Stays(FACES)
        if self.constant(node, "noise"):
            raise Stays(NOISY)

    def _act(self, node: Node, base: Base | None) -> Act:
        """How the references of a node act, read from its widgets."""
        act = Act(by_picture=node.row.endswith("Batch") or bool(self.constant(node, "unfold_batch")))
        self._common(node, act, "weight")
        if node.row in V1_APPLIES:
            weight_type = self.word(node, "weight_type")
            if weight_type not in V1_SCALINGS:
                raise Stays(f"Its weight_type {weight_type!r:.60} changes the keys, which no other node here does.")
            act.scaling, act.layers = V1_SCALINGS[weight_type], Layers()  # the middle block acted in 2023
        elif text := self.word(node, "layer_weights").strip():
            if "precise" in self.word(node, "weight_type"):
                raise Stays("It pushes away in the layers of its layer_weights, which Layer Weights cannot say.")
            act.layers = listed_layers(text, base)
        elif node.row in BOOSTS:
            weight_type, boost = BOOSTS[node.row]
            act.layers = layers_of(weight_type, base, act.inputs["weight"], node.get(boost))
        else:
            weight = act.inputs["weight"]
            act.layers = layers_of(self.word(node, "weight_type"), base, weight, weight)
        return act

    def _common(self, node: Node, act: Act, weight: str) -> None:
        """The weight, window, mask and scaling that every such node has."""
        start, end = self.number(node, "start_at", 0.0, 1.0), self.number(node, "end_at", 0.0, 1.0)
        if not isinstance(start, Source) and not isinstance(end, Source) and start > end:
            raise Stays(f"Its start_at {start:g} lies after its end_at {end:g}, so that it does nothing.")
        act.inputs |= {"weight": self.number(node, weight, -LIMIT, LIMIT), "start": start, "end": end}
        act.by_picture = act.by_picture or node.row.endswith("Batch")
        act.scaling = self.word(node, "embeds_scaling", "V only")
        if act.scaling not in ("V only", "K+V"):
            raise Stays(f"Its embeds_scaling is {act.scaling!r:.60}: other nodes here have 'V only' and 'K+V'.")
        if isinstance(mask := node.get("attn_mask"), Source):
            act.inputs["mask"] = mask
        act.widget = weight

    def _combining(self, node: Node, image: Source, act: Act) -> None:
        """How several images act. It does not matter for one image."""
        method = self.word(node, "combine_embeds", "concat")
        if act.by_picture or (method in NOT_ALIKE and self.is_single(image)):
            return
        act.combining = method
        if act.combining not in COMBINING:
            raise Stays(f"Its combine_embeds {act.combining!r:.60} is not one of those that mean the same here.")
        if act.combining == "subtract" and not self._is_batch(image):
            raise Stays("It subtracts images from the first, which is refused here if there is only one.")

    def _add_negative(self, node: Node, pieces: Pieces, act: Act, encoder: Source | Ours, adapter: Adapter) -> None:
        image = node.get("image_negative")
        if isinstance(image, Source):
            made = self.encoding(image, encoder, adapter)
            act.inputs["negative"] = self._helper(node, pieces, "encode negative", made)
            pieces.notes += [] if self.is_single(image) else [SEVERAL]

    def _helper(self, node: Node, pieces: Pieces, word: str, made: NewNode) -> Ours:
        pieces.helpers[word] = made
        return Ours(helper_key(node.id, word))

    def _finish(self, node: Node, pieces: Pieces, adapter: Adapter, acts: list[tuple[Ours, Act]]) -> None:
        """Make the node that applies the references: Apply IP-Adapter, if it can say all, or Apply References."""
        model = self.link(node, "model", "a model")
        inputs: dict[str, Any] = {"model": model, "adapter": adapter.adapter}
        acting = [act for _, act in acts]
        if len(acts) == 1 and acting[0].is_simple:
            features, act = acts[0]
            batch = {"batch": "one per image"} if act.by_picture else {}
            inputs |= {"features": features, **act.inputs, **batch, "layers": act.layers.preset}
            pieces.main = NewNode("ImagePromptApply", inputs)
            holders = {act.widget: node.id}
        else:
            made = [self._reference(node, pieces, features, act, n) for n, (features, act) in enumerate(acts)]
            inputs |= {f"{REFERENCES}{number}": each for number, each in enumerate(made)}
            pieces.main = NewNode("ImagePromptApplyReferences", inputs)
            holders = {act.widget: each.key for act, each in zip(acting, made, strict=True)}
        pieces.widgets = {name: (key, "weight") for name, key in holders.items()}
        if len(acts) == 1:
            (key,) = holders.values()
            pieces.widgets |= {"start_at": (key, "start"), "end_at": (key, "end")}
        pieces.in_middle = any(act.layers.in_middle for act in acting)
        pieces.notes += [PICTURES] * acting[0].by_picture + [MASKS] * ("mask" in acting[0].inputs)
        pieces.notes += [NEGATIVE] * ("negative" not in acting[0].inputs)

    def _reference(self, node: Node, pieces: Pieces, features: Ours, act: Act, number: int) -> Ours:
        inputs: dict[str, Any] = {"features": features, **act.inputs, "scaling": act.scaling}
        inputs["combining"] = "one per image" if act.by_picture else act.combining
        if act.layers.values:
            weights = NewNode("ImagePromptLayerWeights", {"preset": "values", "values": act.layers.values})
            inputs["layer_weights"] = self._helper(node, pieces, f"layer weights {number}", weights)
        else:
            inputs["layers"] = act.layers.preset
        return self._helper(node, pieces, f"reference {number}", NewNode("ImagePromptReference", inputs))


@dataclass
class Act:
    """How one reference acts.

    inputs: what Apply IP-Adapter and Image Prompt Reference call alike
    widget: the name of the old widget for its weight
    """

    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    layers: Layers = Layers()
    combining: str = "concat"
    scaling: str = "V only"
    by_picture: bool = False
    widget: str = "weight"

    @property
    def is_simple(self) -> bool:
        """Whether Apply IP-Adapter has inputs for all of it."""
        usual = self.scaling == "V only" and self.combining == "concat"
        return usual and self.layers.preset in ("all", "style", "composition")


def _bases_in(name: str) -> list[Base]:
    """The models that the name of a file or a preset says."""
    return [base for base, words in BASE_NAMES.items() if words.search(name)]


def _combined(features: list[Ours], method: str) -> NewNode:
    named = {f"features_{number}": each for number, each in enumerate(features, 1)}
    return NewNode("ImagePromptCombine", {**named, "method": method, "rows": "all together"})


NOT_ALIKE = ("subtract", "norm average")  # with several images
NOISY = "It adds noise to its negative, which no other node here does."
EMBEDS = tuple(f"embed{number}" for number in range(1, 6))
UNIFIED = ("IPAdapterUnifiedLoader", "IPAdapterUnifiedLoaderCommunity")
LOADERS = ("IPAdapterModelLoader", *UNIFIED)
ENCODERS = ("IPAdapterEncoder", V1_ENCODER, "IPAdapterCombineEmbeds", "IPAdapterBatchEmbeds")
EMBED_INPUTS: Mapping[str, str] = {
    "IPAdapterEmbeds": "pos_embed",
    "IPAdapterEmbedsBatch": "pos_embed",
    "IPAdapterApplyEncoded": "embeds",
}
MAKERS: Mapping[str, tuple[str, ...]] = {  # input -> rows of the nodes that it may read
    "ipadapter": LOADERS,
    **dict.fromkeys((*EMBEDS, "pos_embed", "neg_embed", "embeds"), ENCODERS),
}
V1_APPLIES = ("IPAdapterApply", "IPAdapterApplyEncoded")
V1_SCALINGS: Mapping[str, str] = {"original": "V only", "linear": "K+V"}
BOOSTS: Mapping[str, tuple[str, str]] = {
    name + batch: row
    for name, row in {
        "IPAdapterPreciseStyleTransfer": ("style transfer precise", "style_boost"),
        "IPAdapterPreciseComposition": ("composition precise", "composition_boost"),
    }.items()
    for batch in ("", "Batch")
}
STYLE_AND_COMPOSITION = ("IPAdapterStyleComposition", "IPAdapterStyleCompositionBatch")
APPLIES = (
    "IPAdapter",
    "IPAdapterAdvanced",
    "IPAdapterBatch",
    "IPAdapterMS",
    *BOOSTS,
    *EMBED_INPUTS,
    "IPAdapterApply",
)
CROP = "PrepImageForClipVision"
RULES: Mapping[str, Callable[[Rules, Node], Pieces]] = {
    "IPAdapterModelLoader": Rules.load_adapter,
    **dict.fromkeys(UNIFIED, Rules.load_models),
    CROP: Rules.crop,
    "IPAdapterEncoder": Rules.encode,
    V1_ENCODER: Rules.encode_v1,
    "IPAdapterCombineEmbeds": Rules.combine,
    "IPAdapterBatchEmbeds": Rules.combine,
    **dict.fromkeys(APPLIES, Rules.apply),
    **dict.fromkeys(STYLE_AND_COMPOSITION, Rules.apply_style_and_composition),
}
