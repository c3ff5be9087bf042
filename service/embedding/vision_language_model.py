"""A vision-language model for a service. Letters: n inputs, W numbers of a vector."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...references.inputs import Input
from ...references.space import Space
from ...references.vision_language import VisionLanguageEncoder
from .model import Prepared, Wish


class VisionLanguageModel:
    """A Qwen3-VL that embeds texts, pictures, or both at once, one input at a time."""

    logit = None  # of texts and pictures it was not trained to tell one

    def __init__(self, encoder: VisionLanguageEncoder) -> None:
        self._encoder = encoder
        self._reading = threading.Lock()  # its tokenizer is for one thread

    @property
    def space(self) -> Space:
        return self._encoder.space

    def space_of(self, wish: Wish) -> Space:
        return self._encoder.space_of(wish.pooling, wish.dimensions)

    def prepare(self, given: Input, wish: Wish) -> Prepared:
        with self._reading:
            read = self._encoder.read(given, wish.instruction)
        return Prepared(None, (read, wish.pooling), read.tokens, read.warning)

    def compute(self, prepared: Sequence[Prepared]) -> Tensor:
        return torch.stack([self._encoder.vector(*each.value) for each in prepared])

    def info(self) -> dict[str, Any]:
        return self._encoder.info()

    def close(self) -> None:
        self._encoder.close()
