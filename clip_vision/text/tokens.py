"""Texts -> token numbers, framed as text encoders read them. Letters: B texts, N tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor

from .bpe import BytePairs


@dataclass(frozen=True)
class Tokenizer:
    """Tokens of a text, and what stands around them.

    numbers: a text -> its tokens, without start and end
    vocabulary: how many different tokens there are, with start, end and pad
    start: before every text; None: nothing is
    end: after every text, and after one that was cut
    pad: what fills a text up
    """

    numbers: Callable[[str], Sequence[int]]
    vocabulary: int
    end: int
    pad: int
    start: int | None = None

    def room(self, context: int) -> int:
        """How many tokens of a text's own fit into a context."""
        return context - 1 - (self.start is not None)

    def row(self, numbers: Sequence[int], context: int) -> list[int]:
        """The tokens of a text, cut to the context, with start and end."""
        start = [] if self.start is None else [self.start]
        return [*start, *numbers[: self.room(context)], self.end]

    def filled(self, rows: Sequence[Sequence[int]], length: int) -> Tensor:
        """Rows of tokens, each filled up to a length: (B, length), int64."""
        return torch.tensor([[*row, *[self.pad] * (length - len(row))] for row in rows])

    def framed(self, texts: Sequence[str], context: int, fixed: bool) -> Tensor:
        """Tokens (B, N), int64: those of the texts, cut to the context.

        fixed: whether all are filled up to the context, otherwise to the longest of them
        """
        rows = [self.row(self.numbers(text), context) for text in texts]
        return self.filled(rows, context if fixed else max(map(len, rows)))

    def too_long(self, texts: Iterable[str], context: int) -> list[int]:
        """The numbers, from 0, of the texts of which the end does not fit into a context."""
        return [number for number, text in enumerate(texts) if len(self.numbers(text)) > self.room(context)]


@cache
def clip_tokenizer() -> Tokenizer:
    """That of all CLIPs that were trained on English: 49,408 tokens."""
    pairs = BytePairs()
    size = len(pairs.numbers)
    return Tokenizer(pairs, size, start=size - 2, end=size - 1, pad=size - 1)


def checked_texts(texts: str | Sequence[str]) -> list[str]:
    """A list of texts, from one or several. ValueError if there is none, or one of them is empty or no text."""
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(cast(object, texts), Iterable):
        raise ValueError(f"A {type(texts).__name__} is no text: give a text or a list of texts.")
    texts = list(texts)
    if not texts:
        raise ValueError("There are no texts: give one or more.")
    for number, text in enumerate(cast("list[object]", texts), start=1):
        which = f"Text {number} of {len(texts)}" if len(texts) > 1 else "The text"
        if not isinstance(text, str):
            raise ValueError(f'{which} is of type {type(text).__name__}: give a text, such as "a red bicycle".')
        if not text.strip():
            raise ValueError(f'{which} is empty: write what to look for, such as "a red bicycle".')
    return texts
