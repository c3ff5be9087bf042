"""Texts -> vectors, some at a time. Letters: N texts, D numbers of a vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from ..encoding import check_chunk_size
from .network import TextEncoder
from .tokens import checked_texts

CHUNK = 32


def encode_texts(
    encoder: TextEncoder,
    texts: str | Sequence[str],
    *,
    chunk_size: int | None = None,
    on_chunk: Callable[[int], object] | None = None,
) -> Tensor:
    """The vectors of texts (N, D), fp32, on the encoder's device: transformers' `text_embeds`, not normalised.

    Of a text that is too long the rest is not seen: `encoder.too_long(texts)` says of which.

    chunk_size: texts in one forward pass at most
    on_chunk: is told the number of texts after each chunk; what it raises ends the encoding

    Raises:
        ValueError: there is no text, one of them is empty or no text, or the chunk size is none.
    """
    if not isinstance(cast(object, encoder), TextEncoder):
        raise ValueError(
            f"The encoder is a {type(encoder).__name__}: give what `load_text` returns, not the path or the name of a "
            "file."
        )
    if chunk_size is not None:
        check_chunk_size(chunk_size, of="texts")
    texts, size = checked_texts(texts), chunk_size or CHUNK
    parts: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(texts), size):
            chunk = texts[start : start + size]
            parts.append(encoder(encoder.tokens(chunk).to(encoder.weight_device)).float())
            if on_chunk is not None:
                on_chunk(len(chunk))
    return torch.cat(parts)
