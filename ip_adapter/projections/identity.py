"""Image tokens of a recognised face: of its identity alone, or of its identity and its look.

Letters: R faces, D width of an identity, N positions, W feature width, T tokens, C context width. Attributes are named
like the keys that containers.py gives. Source: tencent-ailab/IP-Adapter, its FaceID adapters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, divide, shape_of
from .resampler import LayerSizes


@dataclass(frozen=True)
class IdentitySizes:
    """D, the width between the two layers, C and T."""

    width: int
    hidden_width: int
    context_width: int
    num_tokens: int

    @classmethod
    def of(cls, sd: StateDict) -> IdentitySizes:
        hidden, width = shape_of(sd, "proj.0.weight", 2)
        rows, _ = shape_of(sd, "proj.2.weight", 2)
        (context,) = shape_of(sd, "norm.weight", 1)
        return cls(width, hidden, context, divide(rows, context, "proj.2.weight"))


class IdentityTokens(nn.Module):
    """What these networks have in common: identities (R, D) -> tokens (R, T, C)."""

    def __init__(
        self,
        sizes: IdentitySizes,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.context_width = sizes.context_width
        self.num_tokens = sizes.num_tokens
        self.proj = nn.Sequential(
            ops.Linear(sizes.width, sizes.hidden_width, device=device, dtype=dtype),
            nn.GELU(),
            ops.Linear(sizes.hidden_width, sizes.context_width * sizes.num_tokens, device=device, dtype=dtype),
        )
        self.norm = ops.LayerNorm(sizes.context_width, device=device, dtype=dtype)

    def identity_tokens(self, identity: Tensor) -> Tensor:
        tokens = self.proj(identity).unflatten(-1, (self.num_tokens, self.context_width))  # (R, D) -> (R, T, C)
        return self.norm(tokens)


class IdentityMLP(IdentityTokens):
    """Identities (R, D) -> image tokens (R, T, C). FaceID files have it with T = 4, portrait files with T = 16."""

    def __init__(
        self,
        sizes: IdentitySizes,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(sizes, ops=ops, device=device, dtype=dtype)
        self.feature_widths = (sizes.width,)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> IdentityMLP:
        return cls(IdentitySizes.of(sd), ops=ops, device=device, dtype=dtype)

    def count_tokens(self, identity: Tensor) -> int:
        return self.num_tokens

    def forward(self, identity: Tensor) -> Tensor:
        return self.identity_tokens(identity)


class IdentityPerceiver(IdentityTokens):
    """Identities (R, D) and hidden states of the faces (R, N, W) -> image tokens (R, T, C). FaceID plus has it.

    The tokens of an identity are the latents of a resampler, which looks at the face.
    """

    def __init__(
        self,
        sizes: IdentitySizes,
        feature_width: int,
        layers: LayerSizes,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(sizes, ops=ops, device=device, dtype=dtype)
        self.feature_widths = (sizes.width, feature_width)
        self.proj_in = ops.Linear(feature_width, layers.width, device=device, dtype=dtype)
        self.layers = layers.build(ops=ops, device=device, dtype=dtype)
        self.proj_out = ops.Linear(layers.width, sizes.context_width, device=device, dtype=dtype)
        self.norm_out = ops.LayerNorm(sizes.context_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> IdentityPerceiver:
        _, features = shape_of(sd, "proj_in.weight", 2)
        return cls(IdentitySizes.of(sd), features, LayerSizes.of(sd), ops=ops, device=device, dtype=dtype)

    def count_tokens(self, identity: Tensor, hidden: Tensor) -> int:
        return self.num_tokens

    def forward(self, identity: Tensor, hidden: Tensor) -> Tensor:
        return self.look(self.identity_tokens(identity), hidden)

    def look(self, latents: Tensor, hidden: Tensor) -> Tensor:
        """Tokens (R, T, C) that have looked at the faces (R, N, W)."""
        image = self.proj_in(hidden)  # (R, N, W) -> (R, N, C)
        for layer in self.layers:
            latents = layer(image, latents)
        return self.norm_out(self.proj_out(latents))


class ShortcutPerceiver(IdentityPerceiver):
    """The same, but the look is added to the tokens of the identity. FaceID plus v2 and Kolors FaceID plus have it."""

    def forward(self, identity: Tensor, hidden: Tensor, shortcut: float = 1.0) -> Tensor:
        """shortcut: how much of the look is added"""
        tokens = self.identity_tokens(identity)
        return tokens + shortcut * self.look(tokens, hidden)
