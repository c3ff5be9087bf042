"""Check features that are to be saved, or that come from a file. Letters: B pictures, N positions, W, D widths."""

from __future__ import annotations

import math
from typing import cast

from torch import Tensor

from ..features import FEATURES, OTHERS, VisionFeatures

RANKS = {**dict.fromkeys(FEATURES, 3), "image_embeds": 2, "cls": 2, "pooled": 2, **OTHERS}  # (B, D) or (B, N, W)


def by_name(features: VisionFeatures) -> dict[str, Tensor]:
    """All tensors of features, those of `hidden` as "hidden.INDEX"."""
    hidden = {f"hidden.{index}": states for index, states in (features.hidden or {}).items()}
    return {**features.as_dict(), **hidden, **(features.others or {})}


def check_features(features: VisionFeatures) -> VisionFeatures:
    """Refuse features without a tensor, or with one that is not of the shape that its name says, or not finite."""
    if not isinstance(cast(object, features), VisionFeatures):
        raise ValueError(f"The features are a {type(features).__name__}: give what clip_vision.encode returns.")
    tensors = by_name(features)
    if not tensors:
        raise ValueError("The features hold nothing: give what clip_vision.encode returns.")
    for name, tensor in tensors.items():
        check_layout(name, tensor, rank(name))
        if not all(math.isfinite(end) for end in tensor.aminmax()):
            raise ValueError(f"The {name} hold NaN or infinity: encode the picture again, in another dtype.")
    if len({len(tensor) for tensor in tensors.values()}) > 1:
        rows = ", ".join(f"{len(tensor)} of {name}" for name, tensor in tensors.items())
        raise ValueError(
            f"The features are those of different numbers of pictures, {rows}: encode all of them at once."
        )
    return features


def check_layout(name: str, tensor: Tensor, *ranks: int) -> None:
    """Refuse a tensor, which may be on the meta device, that cannot be this feature."""
    if tensor.ndim not in ranks or not tensor.numel():
        raise ValueError(
            f"The {name} have the shape {tuple(tensor.shape)}: expected are {' or '.join(map(str, ranks))} dimensions, "
            "the first for pictures and the last for their numbers. Encode the picture again."
        )
    if not tensor.is_floating_point() or tensor.itemsize < 2:
        raise ValueError(f"The {name} are of the dtype {tensor.dtype}: expected are floats of 16 bits or more.")


def rank(name: str) -> int:
    """How many dimensions a feature has."""
    return RANKS.get(name, 3)
