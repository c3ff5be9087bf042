"""What makes a family of adapters. The families are rows in the other files of this folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ..features import Reads
from .base_models import BASE_MODELS, BaseModel
from .detection import Check
from .kinds import Kind

Part = Literal["image_proj", "ip_adapter", "lora", "others"]
FacePack = Literal["buffalo_l", "antelopev2"]
Acts = Literal["attention", "picture", "block"]
Combine = Literal[  # how it joins the text attention, or what else its step does
    "add",
    "orthogonal",
    "orthogonal v2",
    "orthogonal v2, one head",
    "own norm",  # with the query under a norm of its own
    "joint",  # in one softmax with the picture's own keys
    "gated",  # times a gate that follows the timestep
    "own query",  # with a query of its own, of the picture's hidden states
]
LayerName = Literal["plain", "normed", "timed", "character", "gated", "perceiver"]  # keys of `layer_networks.LAYERS`
Network = Literal[  # keys of `projections.PROJECTIONS`
    "linear",
    "mlp",
    "resampler",
    "identity mlp",
    "identity perceiver",
    "identity perceiver with shortcut",
    "pulid",
    "pulid former",
    "instruct",
    "content and style",
    "time resampler",
    "character",
    "anima",
]

UNET_BLOCKS: Mapping[Kind, int] = MappingProxyType({"input": 1, "output": 1, "middle": 1})

IMAGE_EMBEDS = Reads("image_embeds", 2, "zeros")
PENULTIMATE = Reads("penultimate", 3, "encoded zeros")
STYLE = Reads("image_embeds", 2, "zeros", encoder="CSD ViT-L/14")
FACE = Reads("face_embeds", 2, "zeros")
RAW_FACE = Reads("face_embeds_raw", 2, "zeros")
FACE_CROP = Reads("face_penultimate", 3, "encoded zeros")
FACE_BOX = Reads("face_box_penultimate", 3, "zeros")
EVA_FACE = (Reads("face_eva_embeds", 2, "zeros"), Reads("face_eva_hidden", 3, "zeros"))
CHARACTER = tuple(
    Reads(name, 3, "none", encoder="SigLIP so400m")
    for name in ("character_shallow", "character_deep", "character_pieces")
)
INSTRUCTIONS = (Reads("instruction", 3, "empty text"), Reads("prompt", 3, "empty text"))


@dataclass(frozen=True)
class Hints:
    """What is known about a file besides its shapes, to tell apart families whose files have equal shapes.

    name: path of the file within its model folder, in lower case
    base_model: name of the model that its layers are for
    dtypes: dtypes of its tensors as safetensors names them, such as "F32"
    """

    name: str
    base_model: str
    dtypes: frozenset[str]


def hint_of(name: str) -> str:
    """The part of a name that says what a file is: of an absolute path, the file and the folder that holds it."""
    absolute = re.match(r"[\\/]|[A-Za-z]:", name)
    return "/".join(re.split(r"[\\/]", name)[-2:] if absolute else [name]).lower()


@dataclass(frozen=True, kw_only=True)
class Family:
    """A layout of adapter files, and what their shapes cannot say about it.

    id: by which everything else refers to it
    name: for people, "FaceID plus"
    kind: completes "This file is ..."
    detect: checks of keys and shapes that all hold for its files
    like: id of the family whose files have the same shapes, if there is one
    told_by: whether hints about a file say that it is of this family, rather than of the family `like`
    refusal: why it is not applied, as a key of `foreign.REMEDIES`; "" if it is applied
    host: the architecture of the models that it is for
    base_model: which of these models, if the layers do not say it
    parts: the parts that its files have; they hold nothing else
    optional: the parts that its files may have besides
    objection: why a file is not applied that says this in its metadata; "" if it is
    purposes: what its files are for, as the catalogue says it, the most usual first
    reads: the features that its projection takes, in this order
    projection: the network that turns these features into tokens; "" if it is not applied
    second_encoder: name of the image encoder that its features take besides the one that they name; "" if none
    face_pack: the face recognition models that it was trained with, "buffalo_l" or "antelopev2"; "" if it reads no face
    layer_sets: name of its sets of blocks in `LAYER_SETS`, where they are not those of the base model
    blocks: the kinds of blocks in which it acts, and the every how manieth of them
    acts: where in these blocks its result is added. "attention": to the result of the attention, before its output
        projection; "picture": so, but to the picture's part alone where the text has the same attention; "block": to
        the picture that the whole block gives
    also_for: names of other base models on which its files work
    layer: the network of its layers, a key of `layer_networks.LAYERS`
    like_text: whether its tokens are as wide as the text that the model attends to
    through_model: whether the model's own projection of text (`encoder_hid_proj`) turns its tokens into the context
    combine: how it joins the text attention, unless a user says otherwise
    zero_tokens: how many tokens of zeros follow its own, unless a user says otherwise
    """

    id: str
    name: str
    kind: str = "an IP-Adapter"
    files: str = ""  # the published files, for people
    detect: tuple[Check, ...] = ()
    like: str = ""
    told_by: Callable[[Hints], bool] = lambda _: True
    refusal: str = ""
    host: str = "unet"
    base_model: str = ""
    parts: tuple[Part, ...] = ("image_proj", "ip_adapter")
    optional: tuple[Part, ...] = ()
    objection: Callable[[Mapping[str, str]], str] = lambda _: ""
    purposes: tuple[str, ...] = ()
    reads: tuple[Reads, ...] = ()
    projection: Network | Literal[""] = ""
    second_encoder: str = ""
    face_pack: FacePack | Literal[""] = ""
    layer_sets: str = ""
    blocks: Mapping[Kind, int] = field(default_factory=lambda: UNET_BLOCKS)
    acts: Acts = "attention"
    also_for: tuple[str, ...] = ()
    layer: LayerName = "plain"
    like_text: bool = True
    through_model: bool = False
    combine: Combine = "add"
    zero_tokens: int = 0

    @property
    def has_lora(self) -> bool:
        """Whether a LoRA was trained together with its files, and may be in them."""
        return "lora" in self.optional

    @property
    def reads_faces(self) -> bool:
        return bool(self.face_pack)

    @property
    def base_models(self) -> tuple[BaseModel, ...]:
        """The models that its files may be for. The layers of a file say which one it is."""
        return tuple(base for base in BASE_MODELS if base.host == self.host and self.base_model in ("", base.name))

    @property
    def works_on(self) -> tuple[BaseModel, ...]:
        """The models that its files may be for, and the others on which they work."""
        return (*self.base_models, *(base for base in BASE_MODELS if base.name in self.also_for))
