"""Image tokens as a value: what the image projection makes of features, and all layers project to keys and values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import IPAdapter
from .features import Features

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
    cond: Features,
    uncond: Features,
    *,
    device: torch.device | str = "cpu",
    keep_on: torch.device | str = "cpu",
) -> Tokens:
    """Tokens of the features of references and negative images, computed in fp32, a few pictures at a time.

    Args:
        cond, uncond: what `IPAdapter.tokens` reads, of the references and of the negative images
        device: where it is computed. keep_on: where the tokens come out

    Raises:
        ValueError: as `IPAdapter.check_features`.
    """
    count = [len(next(iter(side.values()))) for side in (cond, uncond)]
    tokens = torch.empty(sum(count), adapter.count_tokens(cond), adapter.context_width, device=keep_on)
    rows = {name: [*cond[name], *uncond[name]] for name in cond}
    for start in range(0, len(tokens), PICTURES):
        some = slice(start, start + PICTURES)
        features = {name: torch.stack(each[some]).to(device, torch.float32) for name, each in rows.items()}
        tokens[some] = adapter.tokens(features)
    return Tokens(tokens[: count[0]], tokens[count[0] :])
