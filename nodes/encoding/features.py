"""Image features on a CLIP_VISION_OUTPUT socket: the fields that core nodes read, and those that IP-Adapters need.

Letters: N positions, D and W feature widths.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher

from ...clip_vision import combine
from ...references.space import Space

ENCODED: Mapping[str, str] = MappingProxyType(  # feature, as encoders and adapters call it -> core's field, batch first
    {
        "image_embeds": "image_embeds",
        "last": "last_hidden_state",
        "penultimate": "penultimate_hidden_states",
    }
)
OF_FACES = (
    "face_embeds",
    "face_embeds_raw",
    "face_penultimate",
    "face_box_penultimate",
    "face_eva_embeds",
    "face_eva_hidden",
)
OF_TEXTS = ("instruction", "prompt")
OF_CHARACTERS = ("character_shallow", "character_deep", "character_pieces")
MAKERS: Mapping[str, str] = MappingProxyType(  # feature -> the node that makes it, where it is not Encode Image Prompt
    {**dict.fromkeys(OF_FACES, "Encode Face Prompt"), **dict.fromkeys(OF_CHARACTERS, "Encode Character Prompt")}
)
FIELDS: Mapping[str, str] = MappingProxyType(  # the same of all features: those that core does not know keep their name
    {**ENCODED, **{feature: feature for feature in (*OF_FACES, *OF_TEXTS, *OF_CHARACTERS)}}
)
READ_BY_CORE = (*ENCODED.values(), "all_hidden_states")
NEGATIVES = {  # `Reads.negative`: rule for the unconditional rows -> field with the feature of an empty picture or text
    "encoded zeros": "negative_penultimate",
    "encoded black": "negative_image_embeds",
    "empty text": "negative_instruction",
}


class Deferred(Protocol):
    """A tensor that is made when called, by running the model of `patcher`."""

    patcher: ModelPatcher

    def __call__(self) -> torch.Tensor: ...


class MadeWhenRead:
    """An attribute that is a tensor or None. If it is set to a `Deferred`, the tensor is made when it is first read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, features: "ImageFeatures | None", owner: type) -> Any:
        if features is None:
            return self
        value = _kept(features, self.name)
        if not isinstance(value, torch.Tensor | None):
            value = vars(features)[self.name] = value()
        return value

    def __set__(self, features: "ImageFeatures", value: torch.Tensor | Deferred | None) -> None:
        vars(features)[self.name] = value


class ImageFeatures(Output):
    """Core's CLIP vision output, plus what an IP-Adapter needs.

    negative_penultimate: (1, N, W), penultimate hidden states of a picture that is zero after normalisation, or None
    negative_image_embeds: (1, D), image_embeds of a black picture, or None
    negative_instruction: (1, N, W), last hidden states of an empty text, or None
    encoder: name of the encoder; empty if it is not known
    space: of image_embeds; None if only the name of the encoder is known
    kept_for: name of the only adapter whose features were kept; empty if all fields were kept
    """

    space: Space | None = None
    negative_penultimate = MadeWhenRead()
    negative_image_embeds = MadeWhenRead()
    negative_instruction = MadeWhenRead()

    def __init__(
        self,
        *,
        negative_penultimate: torch.Tensor | Deferred | None,
        negative_image_embeds: torch.Tensor | Deferred | None = None,
        negative_instruction: torch.Tensor | Deferred | None = None,
        encoder: str,
        kept_for: str = "",
        **fields: object,
    ):
        self.mm_projected = None
        self.negative_penultimate = negative_penultimate
        self.negative_image_embeds = negative_image_embeds
        self.negative_instruction = negative_instruction
        self.encoder = encoder
        self.kept_for = kept_for
        for name, value in fields.items():
            setattr(self, name, value)

    @property
    def patcher(self) -> ModelPatcher | None:
        """The encoder that these features keep in memory. ComfyUI reads it, to drop such old outputs first."""
        patchers = (getattr(_kept(self, name), "patcher", None) for name in NEGATIVES.values())
        return next(filter(None, patchers), None)

    def __getattr__(self, name: str) -> NoReturn:
        """Say why a field is missing. Core nodes show this error, and `getattr` with a default does not raise it."""
        if name not in READ_BY_CORE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if self.kept_for:
            raise AttributeError(
                f"The features hold no {name}: they were encoded for {self.kept_for} only. "
                "Remove the adapter input of Encode Image Prompt."
            )
        raise AttributeError(
            f"The features hold no {name}: {self.encoder or 'their encoder'} gives none here. "
            "Use CLIP Vision Encode, or another encoder."
        )


def join(
    references: Sequence[Output],
    method: str,
    rows: str = "auto",
    *,
    weights: Sequence[float] = (),
    interpolation: float = 0.5,
) -> ImageFeatures:
    """Combine several references into one, field by field.

    method, rows, weights, interpolation: as `clip_vision.combine` takes them

    Raises:
        ValueError: the references come from different encoders, have no field in common, or do not fit together.
    """
    encoders = {getattr(reference, "encoder", "") for reference in references} - {""}
    if len(encoders) > 1:
        raise ValueError(
            f"The references come from different encoders ({', '.join(sorted(encoders))}): encode all with one."
        )
    fields: dict[str, torch.Tensor] = {}
    for name in FIELDS.values():
        values = [value for each in references if isinstance(value := getattr(each, name, None), torch.Tensor)]
        if len(values) == len(references):
            _check_shapes(references, name)
            fields[name] = combine(values, method, rows, weights=weights, interpolation=interpolation)
    if not fields:
        raise ValueError(
            "The references have no features in common: encode all of them with the same encoder, and for the same "
            "adapter or for none."
        )
    sizes = [size for reference in references for size in getattr(reference, "image_sizes", [])]
    pictures = len(next(iter(fields.values())))
    spaces = {getattr(reference, "space", None) for reference in references}
    return ImageFeatures(
        **{name: _first_negative(references, name) for name in NEGATIVES.values()},
        encoder=next(iter(encoders), ""),
        kept_for=" and ".join(sorted({kept for each in references if (kept := getattr(each, "kept_for", ""))})),
        space=spaces.pop() if len(spaces) == 1 else None,
        image_sizes=(sizes or [(3, 224, 224)])[:1] * pictures,
        **fields,
    )


def _check_shapes(references: Sequence[Output], field: str) -> None:
    """Features of core's nodes do not say which encoder they are from, but their shapes often do."""
    shapes = [tuple(getattr(each, field).shape) for each in references]
    if len({shape[1:] for shape in shapes}) > 1:
        names = [getattr(each, "encoder", "") for each in references]
        given = ", ".join(f"{shape} from {name or 'an encoder without a name'}" for shape, name in zip(shapes, names))
        if all(names) and len({*names}) == 1:
            raise ValueError(
                f"The references come from one encoder with different image sizes: their {field} are {given}. Encode "
                "all with the same image_size of Load Image Encoder."
            )
        raise ValueError(
            f"The references come from different encoders: their {field} are {given}. Encode all with one."
        )


def _kept(features: Output, negative: str) -> torch.Tensor | Deferred | None:
    """The value of a field of `NEGATIVES` as it is kept, without encoding it."""
    kept = vars(features)
    # features that were saved before call it so
    former = kept.get("negative") if negative == "negative_penultimate" else None
    return kept.get(negative, former)


def _first_negative(references: Sequence[Output], name: str) -> torch.Tensor | Deferred | None:
    return next((negative for each in references if (negative := _kept(each, name)) is not None), None)
