"""Image tokens: the image projection makes them from features, and every layer projects them to keys and values.

Letters: R references, T image tokens, C context width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import IPAdapter
from .features import Features

PICTURES = 4  # pictures that go through the image projection at a time
STATES = 7  # tensors as large as the features that a projection holds at once, at most; a resampler holds these


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of the references (`cond`) and of the negative images (`uncond`), each (R, T, C)."""

    cond: Tensor
    uncond: Tensor

    def together(self) -> Tokens:
        """Join all references, and all negative images, as if they were one, (1, R * T, C): one softmax over all."""
        return Tokens(_joined(self.cond), _joined(self.uncond))


def _joined(tokens: Tensor) -> Tensor:
    return tokens.flatten(0, 1).unsqueeze(0) if len(tokens) else tokens


@dataclass(frozen=True)
class TokenOptions:
    """How features become tokens, where a family leaves a choice.

    shortcut: for FaceID plus v2 and Kolors FaceID plus, how much of the face's look is added to its identity
    zero_tokens: how many tokens of zeros follow those of a reference, which weaken it (PuLID)
    noise: factor on uniform noise that is in these tokens instead of zeros
    averaged: whether all references, and all negative images, become one, of the mean of their tokens
    """

    shortcut: float = 1.0
    zero_tokens: int = 0
    noise: float = 0.0
    averaged: bool = False


AS_TRAINED = TokenOptions()


def image_tokens(
    adapter: IPAdapter,
    cond: Features,
    uncond: Features,
    options: TokenOptions = AS_TRAINED,
    *,
    device: torch.device | str = "cpu",
    keep_on: torch.device | str = "cpu",
) -> Tokens:
    """Turn the features of references and of negative images into tokens in fp32, a few pictures at a time.

    They are `token_width` wide.

    Args:
        cond, uncond: features by name as `IPAdapter.tokens` takes them, of the references and of the negative images
        options: how features become tokens, where the family leaves a choice
        device: where the tokens are computed
        keep_on: the device they are kept on

    Raises:
        ValueError: a feature is missing, or its rank or width is another.
    """
    count = [len(next(iter(side.values()))) for side in (cond, uncond)]
    each = adapter.count_tokens(cond)
    tokens = torch.zeros(sum(count), each + options.zero_tokens, adapter.token_width, device=keep_on)
    rows = {name: [*cond[name], *uncond[name]] for name in cond}
    for start in range(0, len(tokens), PICTURES):
        some = slice(start, start + PICTURES)
        features = {name: torch.stack(each[some]).to(device, torch.float32) for name, each in rows.items()}
        tokens[some, :each] = adapter.tokens(features, shortcut=options.shortcut)
    if options.noise:
        tokens[:, each:] = _noise(options.zero_tokens, adapter.token_width).to(keep_on) * options.noise
    sides = tokens[: count[0]], tokens[count[0] :]
    if not count[1]:
        sides = sides[0], _null_tokens(adapter, tokens[:0])
    return Tokens(*(side.mean(0, keepdim=True) if len(side) else side for side in sides) if options.averaged else sides)


def _null_tokens(adapter: IPAdapter, none: Tensor) -> Tensor:
    """The tokens that a file has for the unconditional rows, (1, T, C), or `none`: zeros stand for nobody's as well."""
    found = getattr(adapter.image_proj, "null_tokens", None)
    return none if found is None or not found.any() else found.detach().to(none).reshape(1, -1, none.shape[-1])


def _noise(count: int, width: int) -> Tensor:
    """Uniform noise, always the same."""
    return torch.rand(count, width, generator=torch.Generator().manual_seed(0))
