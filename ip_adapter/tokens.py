"""Image tokens as a value: what the image projection makes of features, and all layers project to keys and values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import IPAdapter

PICTURES = 4  # at a time through the image projection
STATES = 7  # tensors as large as the features that a projection holds at once; a resampler has the most


@dataclass(frozen=True, eq=False)
class Tokens:
    """(R, T, C) of the references and of the negative images."""

    cond: Tensor
    uncond: Tensor

    def together(self) -> Tokens:
        """The tokens of all references as those of one, (1, R * T, C): one softmax over all; likewise the negatives."""
        return Tokens(self.cond.flatten(0, 1).unsqueeze(0), self.uncond.flatten(0, 1).unsqueeze(0))


def image_tokens(
    adapter: IPAdapter,
    cond: Tensor,
    uncond: Tensor,
    *,
    device: torch.device | str = "cpu",
    keep_on: torch.device | str = "cpu",
) -> Tokens:
    """Tokens of the features of references and negative images, computed in fp32, a few pictures at a time.

    Args:
        cond, uncond: (R, D) or (R, N, W), what `IPAdapter.tokens` reads
        device: where it is computed. keep_on: where the tokens come out

    Raises:
        ValueError: as `IPAdapter.check_features`.
    """
    rows = [*cond, *uncond]
    tokens = torch.empty(len(rows), adapter.count_tokens(cond), adapter.context_width, device=keep_on)
    for start in range(0, len(rows), PICTURES):
        some = torch.stack(rows[start : start + PICTURES]).to(device, torch.float32)
        tokens[start : start + PICTURES] = adapter.tokens(some)
    return Tokens(tokens[: len(cond)], tokens[len(cond) :])
