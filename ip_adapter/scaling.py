"""What of the keys and values of an image prompt takes the weight: the embeds scalings of cubiq/ComfyUI_IPAdapter_plus.

Letters: R references, T image tokens, I inner width of a layer, A(q, K, V) attention, w weight.

    V only                     w A(q, K, V)
    K+V                        A(q, w K, w V)
    K+V w/ C penalty           A(q, w' K, w' V)                        w' = w I / 1280
    K+mean(V) w/ C penalty     A(q, w' K, V - M + w' M)                M = mean of V over the tokens of a reference

The last two are weaker in narrow layers, by the channels C (here I) of the widest layer of SD1.5 and SDXL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

ScalingName = Literal["V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"]
Fold = Callable[["Tensor", "Tensor", float, int], tuple["Tensor", "Tensor"]]

WIDEST = 1280  # I of the widest layer of SD1.5 and SDXL


def _both(key: Tensor, value: Tensor, weight: float, _: int) -> tuple[Tensor, Tensor]:
    return key * weight, value * weight


def _penalised(key: Tensor, value: Tensor, weight: float, tokens: int) -> tuple[Tensor, Tensor]:
    return _both(key, value, weight * key.shape[-1] / WIDEST, tokens)


def _mean(key: Tensor, value: Tensor, weight: float, tokens: int) -> tuple[Tensor, Tensor]:
    weight = weight * key.shape[-1] / WIDEST
    each = value.view(*value.shape[:-2], -1, tokens, value.shape[-1])  # (R, references, T, I)
    mean = each.mean(-2, keepdim=True)
    return key * weight, (each - mean + weight * mean).flatten(-3, -2)


# name -> function that puts the weight into the key and the value, (R, T, I) each. None: the call takes it, so that
# neither changes. The last argument is how many of the T tokens are those of one reference.
SCALINGS: Mapping[ScalingName, Fold | None] = MappingProxyType(
    {"V only": None, "K+V": _both, "K+V w/ C penalty": _penalised, "K+mean(V) w/ C penalty": _mean}
)
