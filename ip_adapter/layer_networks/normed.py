"""The layer of InstantX's adapter for Flux: keys and values of unit size in each head.

Letters: B references, T image tokens, C context width, I inner width of the layer.
Source: Shakker-Labs/ComfyUI-IPAdapter-Flux, `flux/layers.py`.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .plain import ImageKeyValue

HEAD_WIDTH = 128  # of Flux
EPSILON = 1e-5


class NormedKeyValue(ImageKeyValue):
    """Image tokens (B, T, C) -> key and value, each (B, T, I), divided in each head by the root of its mean square."""

    def forward(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        key, value = super().forward(tokens)
        return _normed(key), _normed(value)


def _normed(x: Tensor) -> Tensor:
    head = min(HEAD_WIDTH, x.shape[-1])
    return F.rms_norm(x.view(*x.shape[:-1], -1, head), (head,), eps=EPSILON).view_as(x)
