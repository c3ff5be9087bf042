"""What is embedded: a text, a picture, or for vision-language models both at once. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Input:
    """One thing to embed.

    text: empty where there is a picture alone
    image: one picture of any kind that `clip_vision.encode` takes, such as one of PIL; None where there is a text alone
    """

    text: str = ""
    image: Any = None

    def __post_init__(self) -> None:
        if self.image is None and not self.text.strip():
            raise ValueError("The text is empty. Say what the picture shows, such as 'a red bicycle in the rain'.")

    @property
    def of(self) -> str:
        """As `Embedding.of`: "text", or "image" where a picture is part of it."""
        return "text" if self.image is None else "image"
