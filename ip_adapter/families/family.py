"""What makes a family of adapters. The families are rows in the other files of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..features import Reads
from .base_models import BASE_MODELS, BaseModel
from .detection import Check

Part = Literal["image_proj", "ip_adapter", "lora", "others"]
Network = Literal["linear", "mlp", "resampler"]  # keys of `projections.PROJECTIONS`

IMAGE_EMBEDS = Reads("image_embeds", 2, "zeros")
PENULTIMATE = Reads("penultimate", 3, "encoded zeros")


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
    purposes: what its files are for, as the catalogue says it, the most usual first
    reads: the features that its projection takes, in this order
    projection: the network that turns these features into tokens; "" if it is not applied
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
    purposes: tuple[str, ...] = ()
    reads: tuple[Reads, ...] = ()
    projection: Network | Literal[""] = ""

    @property
    def base_models(self) -> tuple[BaseModel, ...]:
        """The models that its files may be for. The layers of a file say which one it is."""
        return tuple(base for base in BASE_MODELS if base.host == self.host and self.base_model in ("", base.name))
