"""The two networks of PuLID, which turn a recognised face and what EVA02-CLIP sees of it into image tokens.

Letters: R faces, D and E widths of the identity and of the image embeddings, S hidden states of the encoder, N
positions of one, W their width, M width of the latents, T tokens, C context width. Attributes are named like the keys
of the files. Source: https://arxiv.org/abs/2404.16022 and ToTheBeginning/PuLID.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, divide, shape_of
from .resampler import LayerSizes

IDENTITY_WIDTH = 512  # D of every face recognition network; the files only hold D + E


class Mapping(nn.Sequential):
    """Three linear layers, with a norm and a leaky ReLU after the first two."""

    def __init__(
        self,
        widths: Sequence[int],
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        """widths: of the input and of the output of each layer"""
        first, second, third, last = widths
        super().__init__(
            ops.Linear(first, second, device=device, dtype=dtype),
            ops.LayerNorm(second, device=device, dtype=dtype),
            nn.LeakyReLU(),
            ops.Linear(second, third, device=device, dtype=dtype),
            ops.LayerNorm(third, device=device, dtype=dtype),
            nn.LeakyReLU(),
            ops.Linear(third, last, device=device, dtype=dtype),
        )


def _widths(sd: StateDict, name: str) -> tuple[int, ...]:
    """The widths of the mapping whose keys begin with `name`."""
    _, first = shape_of(sd, f"{name}.0.weight", 2)
    return first, *(shape_of(sd, f"{name}.{layer}.weight", 2)[0] for layer in (0, 3, 6))


def _numbered_widths(sd: StateDict, name: str) -> list[tuple[int, ...]]:
    """The widths of the mappings `name` 0, 1 ..., of which there is at least one."""
    count = sum(bool(re.fullmatch(rf"{name}\d+\.0\.weight", key)) for key in sd)
    return [_widths(sd, f"{name}{number}") for number in range(max(count, 1))]


def _eva_width(widths: Sequence[int], name: str) -> int:
    """E: the width of the embeddings that a mapping takes besides the identity."""
    if widths[0] <= IDENTITY_WIDTH:
        raise ValueError(
            f"The adapter file is damaged: {name} takes {widths[0]} numbers, no more than the {IDENTITY_WIDTH} of an "
            "identity."
        )
    return widths[0] - IDENTITY_WIDTH


def _states(hidden: Tensor, count: int) -> tuple[Tensor, ...]:
    """Split hidden states that lie one after the other, (R, S * N, W) -> S times (R, N, W)."""
    if hidden.shape[1] % count:
        raise ValueError(
            f"The hidden states of a face have {hidden.shape[1]} positions, which is no multiple of {count}: give "
            f"{count} hidden states of the encoder, one after the other."
        )
    return hidden.chunk(count, dim=1)


class PulidEncoder(nn.Module):
    """A face as (R, D), (R, E) and (R, S * N, W) -> image tokens (R, T, C). PuLID v1 for SDXL has it, with T = 5 + 5.

    The first tokens are of the identity and the image embeddings, the others of one hidden state each.
    """

    def __init__(
        self,
        body: Sequence[int],
        mappings: Sequence[Sequence[int]],
        patch_mappings: Sequence[Sequence[int]],
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        """Widths of the mapping of the identity, and of those of the class token and of the patches of each state."""
        super().__init__()
        self.states = len(mappings)
        self.feature_widths = (IDENTITY_WIDTH, _eva_width(body, "body"), mappings[0][0])
        self.context_width = mappings[0][-1]
        self.identity_tokens = divide(body[-1], self.context_width, "body.6.weight")
        self.num_tokens = self.identity_tokens + self.states
        self.body = Mapping(body, ops=ops, device=device, dtype=dtype)
        for number, (whole, patches) in enumerate(zip(mappings, patch_mappings, strict=True)):
            self.add_module(f"mapping_{number}", Mapping(whole, ops=ops, device=device, dtype=dtype))
            self.add_module(f"mapping_patch_{number}", Mapping(patches, ops=ops, device=device, dtype=dtype))

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PulidEncoder:
        mappings = _numbered_widths(sd, "mapping_")
        patches = [_widths(sd, f"mapping_patch_{number}") for number in range(len(mappings))]
        return cls(_widths(sd, "body"), mappings, patches, ops=ops, device=device, dtype=dtype)

    def count_tokens(self, identity: Tensor, embeds: Tensor, hidden: Tensor) -> int:
        return self.num_tokens

    def forward(self, identity: Tensor, embeds: Tensor, hidden: Tensor) -> Tensor:
        tokens = self.body(torch.cat((identity, embeds), dim=-1)).unflatten(-1, (-1, self.context_width))
        looks = [self._look(number, state) for number, state in enumerate(_states(hidden, self.states))]
        return torch.cat((tokens, *looks), dim=1)  # (R, 5, C) and 5 times (R, 1, C) -> (R, T, C)

    def _look(self, number: int, state: Tensor) -> Tensor:
        """One token of a hidden state: of its class token, plus the mean of those of its patches."""
        whole, patches = self.get_submodule(f"mapping_{number}"), self.get_submodule(f"mapping_patch_{number}")
        return whole(state[:, :1]) + patches(state[:, 1:]).mean(dim=1, keepdim=True)


class PulidFormer(nn.Module):
    """A face as (R, D), (R, E) and (R, S * N, W) -> image tokens (R, T, C). PuLID v1.1 for SDXL has it, with T = 32.

    A resampler whose latents are joined by tokens of the identity. Its layers look at one hidden state after the other,
    and at the tokens of the identity.
    """

    def __init__(
        self,
        identity: Sequence[int],
        mappings: Sequence[Sequence[int]],
        layers: LayerSizes,
        num_tokens: int,
        context_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        """Widths of the mapping of the identity, and of that of each hidden state; sizes of the layers; T and C."""
        super().__init__()
        self.states = len(mappings)
        self.feature_widths = (IDENTITY_WIDTH, _eva_width(identity, "id_embedding_mapping"), mappings[0][0])
        self.context_width = context_width
        self.num_tokens = num_tokens
        self.width = layers.width
        self.layers_of_a_state = divide(layers.depth, self.states, "layers")
        divide(identity[-1], layers.width, "id_embedding_mapping.6.weight")
        self.latents = nn.Parameter(torch.empty(1, num_tokens, layers.width, device=device, dtype=dtype))
        self.proj_out = nn.Parameter(torch.empty(layers.width, context_width, device=device, dtype=dtype))
        self.layers = layers.build(ops=ops, device=device, dtype=dtype)
        self.id_embedding_mapping = Mapping(identity, ops=ops, device=device, dtype=dtype)
        for number, widths in enumerate(mappings):
            self.add_module(f"mapping_{number}", Mapping(widths, ops=ops, device=device, dtype=dtype))

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PulidFormer:
        _, num_tokens, _ = shape_of(sd, "latents", 3)
        _, context = shape_of(sd, "proj_out", 2)
        return cls(
            _widths(sd, "id_embedding_mapping"),
            _numbered_widths(sd, "mapping_"),
            LayerSizes.of(sd),
            num_tokens,
            context,
            ops=ops,
            device=device,
            dtype=dtype,
        )

    def count_tokens(self, identity: Tensor, embeds: Tensor, hidden: Tensor) -> int:
        return self.num_tokens

    def forward(self, identity: Tensor, embeds: Tensor, hidden: Tensor) -> Tensor:
        tokens = self.id_embedding_mapping(torch.cat((identity, embeds), dim=-1)).unflatten(-1, (-1, self.width))
        latents = torch.cat((self.latents.to(tokens).expand(len(tokens), -1, -1), tokens), dim=1)  # (R, T + 5, M)
        for number, state in enumerate(_states(hidden, self.states)):
            seen = torch.cat((tokens, self.get_submodule(f"mapping_{number}")(state)), dim=1)  # (R, 5 + N, M)
            first = number * self.layers_of_a_state
            for layer in self.layers[first : first + self.layers_of_a_state]:
                latents = layer(seen, latents)
        return latents[:, : self.num_tokens] @ self.proj_out.to(latents)  # (R, T, C)
