"""Two resamplers for one picture: one gives the tokens of its content, the other those of its style (CSGO).

Letters: B images, N positions, W feature width, T tokens, C context width.
Source: https://arxiv.org/abs/2408.16766, section 3.3, and instantX-research/CSGO.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, part_of
from .resampler import Resampler

DOWN, UP = 24, 36  # cross-attentions in the down blocks and in the up blocks of SDXL, in the order of files


class ContentAndStyle(nn.Module):
    """Hidden states (B, N, W) -> image tokens (B, T, C): those of the content, then those of the style.

    spans: which of the tokens each layer of the adapter takes: the down blocks those of the content, the up blocks
        those of the style
    """

    def __init__(self, content: Resampler, style: Resampler):
        super().__init__()
        self.content = content
        self.style = style
        self.feature_widths = content.feature_widths
        self.context_width = content.context_width
        self.num_tokens = content.num_tokens + style.num_tokens
        split = slice(0, content.num_tokens), slice(content.num_tokens, self.num_tokens)
        self.spans = (split[0],) * DOWN + (split[1],) * UP

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> ContentAndStyle:
        content, style = (
            Resampler.from_shapes(part_of(sd, name), ops=ops, device=device, dtype=dtype)
            for name in ("content", "style")
        )
        if content.feature_widths != style.feature_widths or content.context_width != style.context_width:
            raise ValueError("The adapter file is damaged: its content part and its style part have different widths.")
        return cls(content, style)

    def count_tokens(self, features: Tensor) -> int:
        return self.num_tokens

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat((self.content(features), self.style(features)), dim=1)
