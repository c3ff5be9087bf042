"""Image features on a CLIP_VISION_OUTPUT socket: what core nodes read from one, plus what an IP-Adapter needs."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn, Protocol

import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher

from ..clip_vision import combine

FIELDS: Mapping[str, str] = MappingProxyType(  # feature, as encoders and adapters name it -> core's field, batch first
    {
        "image_embeds": "image_embeds",
        "last": "last_hidden_state",
        "penultimate": "penultimate_hidden_states",
    }
)
READ_BY_CORE = (*FIELDS.values(), "all_hidden_states")


class Deferred(Protocol):
    """A tensor that costs a run of `patcher`'s model, made when called."""

    patcher: ModelPatcher

    def __call__(self) -> torch.Tensor: ...


class ImageFeatures(Output):
    """Core's CLIP vision output with what an IP-Adapter needs besides.

    negative_penultimate: (1, N, W) penultimate hidden states of a picture that is zero after normalisation, encoded
        when they are first read; None where they cannot be
    encoder: name of the encoder; empty if it is not known
    kept_for: name of the adapter which alone can read them; empty if all fields were kept
    """

    def __init__(
        self,
        *,
        negative_penultimate: torch.Tensor | Deferred | None,
        encoder: str,
        kept_for: str = "",
        **fields: object,
    ):
        self.mm_projected = None
        self.negative = negative_penultimate
        self.encoder = encoder
        self.kept_for = kept_for
        for name, value in fields.items():
            setattr(self, name, value)

    @property
    def negative_penultimate(self) -> torch.Tensor | None:
        if not isinstance(self.negative, torch.Tensor | None):
            self.negative = self.negative()
        return self.negative

    @negative_penultimate.setter
    def negative_penultimate(self, value: torch.Tensor | None) -> None:
        self.negative = value

    @property
    def patcher(self) -> ModelPatcher | None:
        """The encoder that these features keep in memory, for ComfyUI, which drops such old outputs first."""
        return getattr(self.negative, "patcher", None)

    def __getattr__(self, name: str) -> NoReturn:
        """Of what is not there. Core nodes show the words; `getattr` with a default takes that."""
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


def join(references: Sequence[Output], method: str, rows: str = "auto") -> ImageFeatures:
    """Several references as one, field by field, by the words of `clip_vision.combine`.

    Raises:
        ValueError: the references come from different encoders.
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
            fields[name] = combine(values, method, rows)
    if not fields:
        raise ValueError(
            "The references have no features in common: encode all of them with the same encoder, and for the same "
            "adapter or for none."
        )
    sizes = [size for reference in references for size in getattr(reference, "image_sizes", [])]
    pictures = len(next(iter(fields.values())))
    negatives = [getattr(reference, "negative", None) for reference in references]  # not encoded before it is read
    return ImageFeatures(
        negative_penultimate=next((negative for negative in negatives if negative is not None), None),
        encoder=next(iter(encoders), ""),
        kept_for=" and ".join(sorted({kept for each in references if (kept := getattr(each, "kept_for", ""))})),
        image_sizes=(sizes or [(3, 224, 224)])[:1] * pictures,
        **fields,
    )
