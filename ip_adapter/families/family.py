"""What a family of adapters is: a row of one of the tables beside this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..features import Reads
from ..projections import Projection
from .base_models import BASE_MODELS, BaseModel
from .detection import Check

Part = Literal["image_proj", "ip_adapter", "lora", "others"]

IMAGE_EMBEDS = Reads("image_embeds", 2, "zeros")
PENULTIMATE = Reads("penultimate", 3, "encoded zeros")


@dataclass(frozen=True)
class Hints:
    """What tells families of equal shapes apart, as far as anything does.

    name: of the file with its folders, in lower case. base_model: that its layers are for. dtypes: of its tensors, in
    the words of safetensors.
    """

    name: str
    base_model: str
    dtypes: frozenset[str]


def _no_projection(*_: object, **__: object) -> Projection:
    raise TypeError("A family that is not applied has no projection.")


@dataclass(frozen=True, kw_only=True)
class Family:
    """A layout of the files of adapters, and what shapes cannot say about it.

    id: by which everything else refers to it. name: for people, "FaceID plus". kind: completes "This file is ...".
    detect: what its keys and shapes have to be. like, told_by: of a family whose files have the shapes of another, the
    id of that one, and what tells them apart.
    refusal: why it is not applied, a key of `foreign.REMEDIES`; "" if it is.
    host: the architecture of the models that it is for. base_model: which of them, where the layers cannot tell.
    parts: which a file has, and has nothing else.
    purposes: what its files are for, in the words of the catalogue, the most usual first.
    reads: the features that its projection takes, in this order.
    projection: from_shapes(sd, ops=, device=, dtype=) of its module.
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
    projection: Callable[..., Projection] = _no_projection

    @property
    def base_models(self) -> tuple[BaseModel, ...]:
        """Those that it may be for, of which its layers tell the one."""
        return tuple(base for base in BASE_MODELS if base.host == self.host and self.base_model in ("", base.name))
