"""The time resampler: hidden states and the timestep -> image tokens, which are other ones in every step.

Letters: R references, N positions, W feature width, M width of the resampler, T tokens, C context width, S width of the
sines of a timestep. Attributes are named like the keys of the files. Source: InstantX/SD3.5-Large-IP-Adapter;
diffusers has it as IPAdapterTimeImageProjection.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, shape_of
from .resampler import LayerSizes, PerceiverLayer

LONGEST = 10000  # the period of the slowest sine, in timesteps over 2 pi


def sines(timestep: Tensor, width: int) -> Tensor:
    """Timesteps (R,) -> (R, `width`): cosines, then sines, of ever lower frequencies."""
    half = width // 2
    exponents = -math.log(LONGEST) * torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angles = timestep.float()[:, None] * exponents.exp()  # in float32, as in training
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class TimeEmbedding(nn.Module):
    """Timesteps (R,) -> (R, M)."""

    def __init__(
        self,
        sines_width: int,
        width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.sines_width = sines_width
        self.linear_1 = ops.Linear(sines_width, width, device=device, dtype=dtype)
        self.linear_2 = ops.Linear(width, width, device=device, dtype=dtype)

    def forward(self, timestep: Tensor, dtype: torch.dtype) -> Tensor:
        hidden = self.linear_1(sines(timestep, self.sines_width).to(dtype))
        return self.linear_2(nn.functional.silu(hidden))


class TimeResamplerLayer(PerceiverLayer):
    """A layer of a resampler in which the timestep shifts and scales the latents after each of their norms."""

    def __init__(
        self,
        width: int,
        heads: int,
        ff_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(width, heads, ff_width, ops=ops, device=device, dtype=dtype)
        self.adaln = nn.Sequential(nn.SiLU(), ops.Linear(width, 4 * width, device=device, dtype=dtype))

    def forward(self, image: Tensor, latents: Tensor, embedding: Tensor) -> Tensor:
        shift, scale, ff_shift, ff_scale = self.adaln(embedding).unsqueeze(1).chunk(4, dim=-1)  # (R, 1, M) each
        queries = self.norm2(latents) * (1 + scale) + shift
        latents = latents + self.attend(self.norm1(image), queries)
        norm, *rest = self.ff
        hidden = norm(latents) * (1 + ff_scale) + ff_shift
        for layer in rest:
            hidden = layer(hidden)
        return latents + hidden


class TimeResampler(nn.Module):
    """Hidden states (R, N, W) and the timestep -> image tokens (R, T, C). The adapter of InstantX for SD3.5 has it."""

    stepwise = True

    def __init__(
        self,
        feature_width: int,
        layers: LayerSizes,
        num_tokens: int,
        context_width: int,
        sines_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.feature_widths = (feature_width,)
        self.context_width = context_width
        self.num_tokens = num_tokens
        self.latents = nn.Parameter(torch.empty(1, num_tokens, layers.width, device=device, dtype=dtype))
        self.time_embedding = TimeEmbedding(sines_width, layers.width, ops=ops, device=device, dtype=dtype)
        self.proj_in = ops.Linear(feature_width, layers.width, device=device, dtype=dtype)
        self.layers = layers.build(TimeResamplerLayer, ops=ops, device=device, dtype=dtype)
        self.proj_out = ops.Linear(layers.width, context_width, device=device, dtype=dtype)
        self.norm_out = ops.LayerNorm(context_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> TimeResampler:
        _, num_tokens, _ = shape_of(sd, "latents", 3)
        _, features = shape_of(sd, "proj_in.weight", 2)
        context, _ = shape_of(sd, "proj_out.weight", 2)
        _, sines_width = shape_of(sd, "time_embedding.linear_1.weight", 2)
        sizes = LayerSizes.of(sd)
        return cls(features, sizes, num_tokens, context, sines_width, ops=ops, device=device, dtype=dtype)

    def count_tokens(self, features: Tensor) -> int:
        return self.num_tokens

    def prepare(self, features: Tensor) -> Tensor:
        """What does not depend on the timestep: features (R, N, W) -> states (R, N, M)."""
        return self.proj_in(features)

    def forward(self, states: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """What `prepare` gives, and the timestep, (R,) or (1,) in 0..1000 -> tokens (R, T, C), embedding (R, M)."""
        embedding = self.time_embedding(timestep, states.dtype).expand(len(states), -1)
        image = states + embedding.unsqueeze(1)
        latents = self.latents.to(states).expand(len(states), -1, -1)
        for layer in self.layers:
            latents = layer(image, latents, embedding)
        return self.norm_out(self.proj_out(latents)), embedding
