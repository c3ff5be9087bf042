"""What an image encoder can be asked for. Letters: B images, N patches, W width, D width of image_embeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class VisionFeatures:
    """The features of B images; a field is None unless it was asked for.

    The tokens of CLIP are the class token, then N patches row by row; SigLIP has patches only.

    image_embeds (B, D): CLIP's projection of `cls`; for SigLIP the same as `pooled`.
    cls (B, W): CLIP's class token after the last layer and its norm (transformers' `pooler_output`).
    patches (B, N, W): `last` without the class token.
    penultimate (B, N [+ 1], W): the input of the last layer (transformers' `hidden_states[-2]`).
    last (B, N [+ 1], W): transformers' `last_hidden_state`: the output of the last layer, which for SigLIP has passed
        the last norm and for CLIP has not.
    hidden {index: (B, N [+ 1], W)}: transformers' `hidden_states[index]`, never normed: 0 is the input of the first
        layer, -1 or `depth` the output of the last. Keys are the indices that were asked for.
    pooled (B, W): SigLIP's attention pooling (transformers' `pooler_output`).
    """

    image_embeds: Tensor | None = None
    cls: Tensor | None = None
    patches: Tensor | None = None
    penultimate: Tensor | None = None
    last: Tensor | None = None
    pooled: Tensor | None = None
    hidden: Mapping[int, Tensor] | None = None

    def select(self, name: str) -> Tensor:
        """The feature called `name`. ValueError when it is unknown or was not asked for."""
        feature = getattr(self, name) if name in FEATURES else None
        if feature is None:
            raise ValueError(f"The features hold no {name!r}, only {self.names()}. Encode with want=({name!r},).")
        return feature

    def names(self) -> list[str]:
        return [name for name in FEATURES if getattr(self, name) is not None]


FEATURES = tuple(field.name for field in fields(VisionFeatures) if field.name != "hidden")


def concatenate(parts: Sequence[VisionFeatures]) -> VisionFeatures:
    """Features of consecutive images, each with the same fields, as one."""
    named: dict[str, Any] = {name: torch.cat([part.select(name) for part in parts]) for name in parts[0].names()}
    states = [part.hidden or {} for part in parts]
    hidden = {index: torch.cat([state[index] for state in states]) for index in states[0]}
    return VisionFeatures(**named, hidden=hidden or None)


def to_float32(features: VisionFeatures) -> VisionFeatures:
    named: dict[str, Any] = {name: features.select(name).float() for name in features.names()}
    hidden = {index: state.float() for index, state in (features.hidden or {}).items()}
    return VisionFeatures(**named, hidden=hidden or None)
