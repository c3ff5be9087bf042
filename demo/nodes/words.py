"""A tokenizer for a world of a few dozen words: one token for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

LENGTH = 24  # tokens of a caption, with start and end


class Words:
    """Speaks as the transformers tokenizers do, as far as core's SDTokenizer asks."""

    def __init__(self, words: Sequence[str]):
        self.vocab = {word: number for number, word in enumerate([*words, "<unknown>", "<start>", "<end>"])}
        self.unknown, self.start, self.end = (self.vocab[word] for word in ("<unknown>", "<start>", "<end>"))

    def __len__(self) -> int:
        return len(self.vocab)

    def __call__(self, text: str) -> dict[str, list[int]]:
        numbers = [self.vocab.get(word, self.unknown) for word in re.findall(r"[^\W_]+", text.lower())]
        return {"input_ids": [self.start, *numbers, self.end]}

    def get_vocab(self) -> dict[str, int]:
        return self.vocab

    def batch(self, texts: Sequence[str]) -> torch.Tensor:
        """The token numbers of captions (B, LENGTH), filled up with the end token."""
        rows = [self(text)["input_ids"] for text in texts]
        return torch.tensor([row + [self.end] * (LENGTH - len(row)) for row in rows])

    def from_pretrained(self, *_: Any, **__: Any) -> Words:
        """What SDTokenizer calls on a tokenizer's class; here it is given the tokenizer itself."""
        return self
