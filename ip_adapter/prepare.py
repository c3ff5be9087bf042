"""Tokens -> keys and values of every layer, a few at a time and straight into the room they stay in.

R references, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .adapter import IPAdapter
from .attention import scale_key
from .features import Features
from .key_values import WINDOW, Constant, Keys, PerWindow, Sides
from .tokens import PICTURES, STATES, Tokens

TOKENS = 1024  # at a time through the layers: each of their weights is read, and cast, once for all of these


def project(
    adapter: IPAdapter,
    tokens: Tokens,
    layers: Sequence[int],
    heads: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    keep_on: torch.device | str = "cpu",
) -> Sides:
    """Keys and values of the references and of the negative images, computed in fp32.

    Args:
        tokens: of both
        layers: numbers of the adapter's layers, in the order in which they are wanted
        heads: of each of them
        dtype, keep_on: of what comes out. device: where it is computed

    Raises:
        ValueError: a key or a value is NaN or infinite in `dtype`.
    """
    widths = [adapter.layer_widths[layer] for layer in layers]

    def keys(side: Tensor) -> Keys:
        if len(side) > WINDOW:
            return PerWindow(adapter, side.to(keep_on), layers, heads)
        return Constant(len(side), side.shape[1], widths, dtype=dtype, device=keep_on)

    sides = Sides(keys(tokens.cond), keys(tokens.uncond))
    parts = [(tokens.cond, sides.cond), (tokens.uncond, sides.uncond)]
    written = [part for part in parts if isinstance(part[1], Constant) or dtype is torch.float16]
    if not _write(adapter, written, layers, heads, dtype, device):
        raise ValueError(
            f"{adapter.title} makes keys or values of these features that are NaN or infinite in "
            f"{str(dtype).removeprefix('torch.')}: the file or the features are damaged, or too large for that dtype. "
            "Run the model in bf16 or fp32, or get the file again."
        )
    return sides


def working_memory(adapter: IPAdapter, cond: Features, uncond: Features) -> int:
    """The most bytes that making tokens of these features, and keys and values of the tokens, holds for a moment.

    However many references there are; what is kept, and the tokens themselves, come on top.
    """
    pictures, each = _count(cond) + _count(uncond), adapter.count_tokens(cond)
    weight = max(parameter.numel() for parameter in adapter.parameters())  # cast, one at a time
    states = min(pictures, PICTURES) * STATES * max(_largest(cond), each * adapter.context_width)
    chunk = min(pictures * each, TOKENS) * (6 * max(adapter.layer_widths) + 2 * adapter.context_width)
    return torch.float32.itemsize * (weight + max(states, chunk))


def kept_memory(adapter: IPAdapter, cond: Features, uncond: Features, layers: Sequence[int], dtype: torch.dtype) -> int:
    """At most the bytes of what `project` makes for these features, and of the tokens."""
    count = (_count(cond) + _count(uncond)) * adapter.count_tokens(cond)
    widths = sum(adapter.layer_widths[layer] for layer in layers)
    return count * (2 * widths * dtype.itemsize + adapter.context_width * torch.float32.itemsize)


def _count(features: Features) -> int:
    return len(next(iter(features.values())))


def _largest(features: Features) -> int:
    """Numbers in the largest feature of a picture."""
    return max(tensor[0].numel() for tensor in features.values())


def _write(
    adapter: IPAdapter,
    parts: Sequence[tuple[Tensor, Keys]],
    layers: Sequence[int],
    heads: Sequence[int],
    dtype: torch.dtype,
    device: torch.device | str,
) -> bool:
    """Fill the room of the parts, which are tokens and where they go, and say whether all that was made is finite."""
    finite = torch.ones((), dtype=torch.bool)
    flat = [tokens.flatten(0, 1) for tokens, _ in parts]  # (R * T, C)
    for chunk in _chunks([len(tokens) for tokens in flat]):
        tokens = torch.cat([flat[part][span].to(device, torch.float32) for part, span in chunk]).unsqueeze(0)
        counts = [span.stop - span.start for _, span in chunk]
        for number, (layer, count) in enumerate(zip(layers, heads, strict=True)):
            ((key, value),) = adapter.key_value(tokens, [layer])
            for at, made in enumerate((scale_key(key, count)[0], value[0])):
                for (part, span), found in zip(chunk, torch.split(made, counts), strict=True):
                    keys = parts[part][1]
                    if isinstance(keys, Constant):
                        found = keys.layer(number)[at].view(-1, found.shape[-1])[span].copy_(found)
                    finite = finite.to(found.device) & found.to(dtype).float().isfinite().all()
    return bool(finite)  # asked once, after all layers


def _chunks(counts: Sequence[int]) -> Iterable[list[tuple[int, slice]]]:
    """The tokens of all parts in their order, as (part, its tokens), `TOKENS` at a time."""
    total, begins = sum(counts), [sum(counts[:part]) for part in range(len(counts))]
    for first in range(0, total, TOKENS):
        last = min(first + TOKENS, total)
        yield [
            (part, slice(max(first - begin, 0), min(last - begin, count)))
            for part, (begin, count) in enumerate(zip(begins, counts))
            if begin < last and begin + count > first
        ]
