"""Features of references -> keys and values of every layer, a few at a time and straight into the room they stay in.

R references, N positions, D and W feature widths, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .adapter import IPAdapter
from .attention import fold
from .key_values import ImageKeyValues

PICTURES = 4  # at a time through the image projection
TOKENS = 1024  # at a time through the layers: each of their weights is read, and cast, once for all of these
STATES = 7  # tensors as large as the features that a projection holds at once; a resampler has the most


def project(
    adapter: IPAdapter,
    cond: Tensor,
    uncond: Tensor,
    layers: Sequence[int],
    heads: Sequence[int],
    *,
    together: bool = True,
    weight: float = 1.0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    keep_on: torch.device | str = "cpu",
) -> ImageKeyValues:
    """Folded keys and values of the reference features and of the negative ones, computed in fp32.

    Args:
        cond: (R, D) or (R, N, W) features of the references
        uncond: the same of the negative
        layers: numbers of the adapter's layers, in the order in which they are wanted
        heads: of each of them
        together: join the tokens of all rows of a side into one prompt, instead of one prompt each
        weight: of the image prompt
        dtype, keep_on: of what comes out. device: where it is computed

    Raises:
        ValueError: a key or a value is NaN or infinite in `dtype`.
    """
    tokens_each, rows = adapter.count_tokens(cond), [*cond, *uncond]
    kept = _room(adapter, (len(cond), len(uncond)), tokens_each, layers, together, dtype, keep_on)
    finite = torch.ones((), dtype=torch.bool, device=keep_on)
    step = _rows_at_a_time(tokens_each)
    for first in range(0, len(rows), step):
        chunk = rows[first : first + step]
        tokens = torch.cat(
            [adapter.tokens(torch.stack(some).to(device, torch.float32)) for some in _split(chunk, PICTURES)]
        )
        spans = list(_spans(first, len(chunk), len(cond)))
        for number, (layer, count) in enumerate(zip(layers, heads, strict=True)):
            pair = fold(*adapter.key_value(tokens, [layer])[0], count, weight)
            for side, there, here in spans:
                for room, found in zip(kept.layer(side, number), pair, strict=True):
                    written = room.view(-1, tokens_each, found.shape[-1])[there].copy_(found[here])
                    finite &= written.float().isfinite().all()
    if not finite:  # asked once, after all layers
        raise ValueError(
            f"{adapter.title} makes keys or values of these features that are NaN or infinite in "
            f"{str(dtype).removeprefix('torch.')}: the file or the features are damaged, or too large for that dtype. "
            "Lower the weight, run the model in bf16 or fp32, or get the file again."
        )
    return kept


def working_memory(adapter: IPAdapter, cond: Tensor, uncond: Tensor) -> int:
    """The most bytes that `project` holds for a moment beside what it keeps, however many references there are."""
    count, tokens_each = len(cond) + len(uncond), adapter.count_tokens(cond)
    weight = max(parameter.numel() for parameter in adapter.parameters())  # cast, one at a time
    inputs = min(count, PICTURES) * STATES * max(cond[0].numel(), tokens_each * adapter.context_width)
    tokens = min(count, _rows_at_a_time(tokens_each)) * tokens_each
    return torch.float32.itemsize * (
        weight + max(inputs, tokens * 6 * max(adapter.layer_widths)) + 2 * tokens * adapter.context_width
    )


def _room(
    adapter: IPAdapter,
    rows: tuple[int, int],
    tokens_each: int,
    layers: Sequence[int],
    together: bool,
    dtype: torch.dtype,
    device: torch.device | str,
) -> ImageKeyValues:
    cond, uncond = ((1, count * tokens_each) if together else (count, tokens_each) for count in rows)
    widths = [adapter.layer_widths[layer] for layer in layers]
    return ImageKeyValues.empty(widths, cond, uncond, dtype=dtype, device=device)


def _rows_at_a_time(tokens_each: int) -> int:
    return max(1, TOKENS // tokens_each)


def _split(rows: list[Tensor], count: int) -> Iterable[list[Tensor]]:
    return (rows[start : start + count] for start in range(0, len(rows), count))


def _spans(first: int, count: int, references: int) -> Iterable[tuple[str, slice, slice]]:
    """(side, its rows, rows of the chunk) of a chunk of rows, which are the references and then the negatives."""
    here = min(max(references - first, 0), count)
    if here:
        yield "cond", slice(first, first + here), slice(0, here)
    if here < count:
        start = first + here - references
        yield "uncond", slice(start, start + count - here), slice(here, count)
