"""What computes a vision-language model: transformers, or ComfyUI's core. Letters: L tokens, W width of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

IMAGE_PAD = 151_655  # the token that stands for a picture


@dataclass(frozen=True)
class About:
    """Which model it is.

    name: such as "Qwen3-VL 2B"
    width: W, the numbers of a vector
    weights: a fingerprint of its last weights, equal for fp32, fp16 and bf16 copies
    context: the most tokens that it reads
    """

    name: str
    width: int
    weights: str
    context: int


class Backend(Protocol):
    """A loaded Qwen3-VL."""

    @property
    def about(self) -> About: ...

    def tokens(self, text: str) -> list[int]:
        """The ids of a text. Special tokens that are written in it are text. Called by many threads at once."""
        ...

    def states(self, conversation: Sequence[int], pictures: Sequence[Any]) -> Tensor:
        """The hidden states of a conversation after the final norm, (L, W), fp32 on the CPU.

        conversation: the ids of all its tokens, with one IMAGE_PAD for each picture, which stands for as many tokens
            as the picture has; L counts those
        pictures: of PIL, RGB, whose sides are already what the model reads, so that none is resized again
        """
        ...

    def info(self) -> dict[str, Any]:
        """device, dtype and bytes, as plain data. Nothing is loaded for it."""
        ...

    def close(self) -> None: ...
