"""Project tokens to the keys and values of every layer, a few at a time, straight into the memory they stay in.

Letters: R references, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .adapter import IPAdapter
from .attention import scale_key
from .features import Features
from .key_values import WINDOW, Constant, Keys, PerStep, PerWindow, Sides
from .tokens import PICTURES, STATES, Tokens

MANY = 32 << 20  # bytes of keys and values that are kept, whatever the number of references
TOKENS = 1024  # tokens that go through the layers at a time: each weight is read and cast once for all of them


def project(
    adapter: IPAdapter,
    tokens: Tokens,
    layers: Sequence[int],
    heads: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    keep_on: torch.device | str = "cpu",
    by_window: bool = True,
) -> Sides:
    """Keys and values of the references and of the negative images, each (R, T, I), computed in fp32.

    They are `Constant`; those of more than `WINDOW` references that would take more than `MANY` bytes are `PerWindow`.

    Args:
        tokens: of the references and of the negative images, (R, T, C) each
        layers: numbers of the adapter's layers, in the order in which they are wanted
        heads: number of attention heads of each of these layers
        dtype: of the keys and values
        device: where they are computed
        keep_on: the device they are kept on
        by_window: whether they may be `PerWindow`

    Raises:
        ValueError: a key or a value is NaN or infinite in `dtype`.
    """
    widths = [adapter.key_widths[layer] for layer in layers]

    def keys(side: Tensor) -> Keys:
        kept = 2 * side.shape[0] * side.shape[1] * sum(widths) * dtype.itemsize
        if by_window and len(side) > WINDOW and kept > MANY:
            return PerWindow(adapter, side.to(keep_on), layers, heads)
        counts = [adapter.taken(side, layer).shape[1] for layer in layers]
        return Constant(len(side), counts, widths, dtype=dtype, device=keep_on)

    sides = Sides(keys(tokens.cond), keys(tokens.uncond))
    parts = [(tokens.cond, sides.cond), (tokens.uncond, sides.uncond)]
    written = [part for part in parts if isinstance(part[1], Constant) or dtype is torch.float16]
    numbered = list(enumerate(zip(layers, heads, strict=True)))
    finite = True
    for _, group in itertools.groupby(numbered, key=lambda each: adapter.span(each[1][0])):
        acting = list(group)
        some = [(adapter.taken(tokens, acting[0][1][0]), keys) for tokens, keys in written]
        finite = _write(adapter, some, [(number, *each) for number, each in acting], dtype, device) and finite
    if not finite:
        raise ValueError(_not_finite(adapter, dtype))
    return sides


def _not_finite(adapter: IPAdapter, dtype: torch.dtype) -> str:
    return (
        f"{adapter.title} makes keys or values of these features that are NaN or infinite in "
        f"{str(dtype).removeprefix('torch.')}: the file or the features are damaged, or too large for that dtype. "
        "Run the model in bf16 or fp32, or get the file again."
    )


def stepping(
    adapter: IPAdapter,
    cond: Features,
    uncond: Features,
    layers: Sequence[int],
    heads: Sequence[int],
    *,
    joined: bool,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    keep_on: torch.device | str = "cpu",
) -> Sides:
    """What the tokens of a `stepwise` adapter are made of, for the references and for the negative images.

    cond, uncond: features by name, as `image_tokens` takes them
    joined: whether all references act as one
    Other arguments and errors are those of `project`.
    """

    def keys(features: Features) -> PerStep:
        parts = [
            adapter.prepare(
                {name: each[some : some + PICTURES].to(device, torch.float32) for name, each in features.items()}
            )
            for some in range(0, _count(features), PICTURES)
        ]
        states = torch.cat([part.to(keep_on, dtype) for part in parts]) if parts else torch.empty(0, device=keep_on)
        if not bool(states.isfinite().all()):
            raise ValueError(_not_finite(adapter, dtype))
        return PerStep(adapter, states, layers, heads, joined=joined)

    return Sides(keys(cond), keys(uncond))


def working_memory(adapter: IPAdapter, cond: Features, uncond: Features) -> int:
    """The bytes that making tokens, keys and values of these features takes at the peak.

    They do not grow with the number of references, beyond a few. What is kept (`kept_memory`) comes on top.
    """
    pictures, each = _count(cond) + _count(uncond), adapter.count_tokens(cond)
    weight = max(parameter.numel() for parameter in adapter.parameters())  # weights are cast one at a time
    states = min(pictures, PICTURES) * STATES * max(_largest(cond), each * adapter.token_width)
    chunk = min(pictures * each, TOKENS) * (6 * max(adapter.key_widths) + 2 * adapter.context_width)
    return torch.float32.itemsize * (weight + max(states, chunk))


def kept_memory(
    adapter: IPAdapter,
    cond: Features,
    uncond: Features,
    layers: Sequence[int],
    dtype: torch.dtype,
    zero_tokens: int = 0,
) -> int:
    """An upper bound for the bytes of the tokens of these features, and of the keys and values that `project` makes.

    zero_tokens: as `TokenOptions`
    """
    count = (_count(cond) + _count(uncond)) * (adapter.count_tokens(cond) + zero_tokens)
    widths = sum(adapter.key_widths[layer] for layer in layers)
    return count * (2 * widths * dtype.itemsize + adapter.token_width * torch.float32.itemsize)


def _count(features: Features) -> int:
    return len(next(iter(features.values())))


def _largest(features: Features) -> int:
    """How many numbers the largest feature of one picture has."""
    return max(tensor[0].numel() for tensor in features.values())


def _write(
    adapter: IPAdapter,
    parts: Sequence[tuple[Tensor, Keys]],
    acting: Sequence[tuple[int, int, int]],
    dtype: torch.dtype,
    device: torch.device | str,
) -> bool:
    """Write keys and values for parts of (tokens, where they go), and say whether all of them are finite.

    acting: (its number in `Keys`, its number in the adapter, attention heads) of each layer; all take these tokens
    """
    total = torch.zeros(())  # finite only if every term is
    flat = [tokens.flatten(0, 1) for tokens, _ in parts]  # (R * T, C)
    for chunk in _chunks([len(tokens) for tokens in flat]):
        tokens = torch.cat([flat[part][span].to(device, torch.float32) for part, span in chunk]).unsqueeze(0)
        counts = [span.stop - span.start for _, span in chunk]
        for number, layer, count in acting:
            key, value = adapter.layer_key_value(tokens, layer)
            for at, made in enumerate((scale_key(key, count)[0], value[0])):
                made = made.to(dtype)
                total = total.to(made.device) + made.sum(dtype=torch.float32)
                for (part, span), found in zip(chunk, torch.split(made, counts), strict=True):
                    keys = parts[part][1]
                    if isinstance(keys, Constant):
                        keys.layer(number)[at].view(-1, found.shape[-1])[span].copy_(found)
    return bool(total.isfinite())  # read once, after all layers, because reading waits for the device


def _chunks(counts: Sequence[int]) -> Iterable[list[tuple[int, slice]]]:
    """Cut the tokens of all parts, in their order, into chunks of `TOKENS`: lists of (number of a part, its slice)."""
    total, begins = sum(counts), [sum(counts[:part]) for part in range(len(counts))]
    for first in range(0, total, TOKENS):
        last = min(first + TOKENS, total)
        yield [
            (part, slice(max(first - begin, 0), min(last - begin, count)))
            for part, (begin, count) in enumerate(zip(begins, counts))
            if begin < last and begin + count > first
        ]
