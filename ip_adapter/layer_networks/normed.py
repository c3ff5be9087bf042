"""Layers whose keys are normed by head: those of InstantX for Flux and of InstantCharacter.

Letters: R references, T image tokens, C context width, I inner width of a layer, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, divide, shape_of
from .norms import EpsBesideRoot, head_width
from .plain import ImageKeyValue

FLUX_HEAD = 128  # D in Flux
EPS = 1e-5


class NormedKeyValue(ImageKeyValue):
    """Tokens (R, T, C) -> key and value (R, T, I), both divided by the root mean square of each head.

    Source: Shakker-Labs/ComfyUI-IPAdapter-Flux.
    """

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> NormedKeyValue:
        width, context = shape_of(sd, "to_k_ip.weight", 2)
        divide(width, FLUX_HEAD, "to_k_ip.weight")
        return cls(context, width, bias="to_k_ip.bias" in sd, ops=ops, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        key, value = super().forward(tokens)
        return _normed(key), _normed(value)


def _normed(x: Tensor) -> Tensor:
    heads = x.view(*x.shape[:-1], -1, FLUX_HEAD)  # (R, T, I) -> (R, T, H, D)
    return nn.functional.rms_norm(heads, (FLUX_HEAD,), eps=EPS).flatten(-2)


class CharacterKeyValue(ImageKeyValue):
    """Tokens (R, T, C) -> key, normed and scaled by head, and value, both (R, T, I).

    Source: the attention processor of Tencent/InstantCharacter.
    """

    def __init__(
        self,
        context_width: int,
        width: int,
        head_width: int,
        *,
        bias: bool = True,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(context_width, width, bias=bias, ops=ops, device=device, dtype=dtype)
        self.norm_ip_k = EpsBesideRoot(head_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> CharacterKeyValue:
        width, context = shape_of(sd, "to_k_ip.weight", 2)
        head, bias = head_width(sd, "norm_ip_k"), "to_k_ip.bias" in sd
        return cls(context, width, head, bias=bias, ops=ops, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        key, value = super().forward(tokens)
        return self.norm_ip_k.of_heads(key), value


class CharacterQuery(nn.Module):
    """The norm of the query, which takes the place of the model's own: (..., D) before that -> (..., D)."""

    def __init__(self, head_width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.norm_ip_q = EpsBesideRoot(head_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> CharacterQuery:
        return cls(head_width(sd, "norm_ip_q"), device=device, dtype=dtype)

    def forward(self, query: Tensor) -> Tensor:
        return self.norm_ip_q(query)
