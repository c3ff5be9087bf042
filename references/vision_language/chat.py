"""A text and pictures -> what Qwen3-VL-Embedding was trained to read.

The method is that of https://github.com/QwenLM/Qwen3-VL-Embedding: an instruction as the system's turn, the pictures
and then the text as the user's, and the begin of an answer, at whose last token the vector stands.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .backend import IMAGE_PAD
from .pictures import tokens_of

DEFAULT_INSTRUCTION = "Represent the user's input."
QUERY_INSTRUCTION = "Retrieve images or text relevant to the user's query."
NOTHING = "NULL"  # what stands for no text and no picture
IM_START, IM_END, VISION_START, VISION_END = 151_644, 151_645, 151_652, 151_653
SPECIAL = {
    "<|im_start|>": IM_START,
    "<|im_end|>": IM_END,
    "<|vision_start|>": VISION_START,
    "<|vision_end|>": VISION_END,
    "<|image_pad|>": IMAGE_PAD,
}
PICTURE = (VISION_START, IMAGE_PAD, VISION_END)

Tokens = Callable[[str], Sequence[int]]  # as `Backend.tokens`


@dataclass(frozen=True, eq=False)
class Conversation:
    """An input as the model reads it.

    ids, pictures: as `Backend.states` takes them
    tokens: how many there are, with those of the pictures
    warning: a sentence where the end of the input is not seen; otherwise empty
    """

    ids: tuple[int, ...]
    pictures: tuple[Any, ...]
    tokens: int
    warning: str = ""


def asked(instruction: str) -> str:
    """The instruction as the model was trained with: it ends with a punctuation mark; an empty one is the default."""
    instruction = instruction.strip()
    if not instruction:
        return DEFAULT_INSTRUCTION
    return instruction if unicodedata.category(instruction[-1]).startswith("P") else f"{instruction}."


def conversation(
    tokens: Tokens, text: str = "", pictures: Sequence[Any] = (), instruction: str = "", context: int = 8192
) -> Conversation:
    """The whole conversation about a text and pictures, cut to its first tokens, as the official code cuts.

    tokens: as `Backend.tokens`
    pictures: as `fitted` makes them
    context: the most tokens that the model reads

    Raises:
        ValueError: not even the instruction and the pictures fit.
    """
    end = [IM_END, *tokens("\n")]
    system = [IM_START, *tokens(f"system\n{asked(instruction)}"), *end]
    user = tokens("user\n")
    opened = len(system) + 1 + len(user) + len(PICTURE) * len(pictures)
    if pictures:
        user = [*user, *PICTURE * len(pictures), *(tokens(text) if text else ())]
    else:
        user = tokens(f"user\n{text or NOTHING}")  # in one piece, for line feeds beside each other are one token
    ids = [*system, IM_START, *user, *end, IM_START, *tokens("assistant\n")]
    more = sum(map(tokens_of, pictures)) - len(pictures)
    return _cut(ids, opened, tuple(pictures), more, context)


def _cut(ids: list[int], opened: int, pictures: tuple[Any, ...], more: int, context: int) -> Conversation:
    """opened: how many of the ids stand before the text. more: how many tokens the pictures are beside their pads."""
    if context <= opened + more:
        raise ValueError(
            f"The instruction{' and the picture' if pictures else ''} alone are {opened + more:,} tokens, and the "
            f"model reads {context:,}, the input's with them: give a shorter instruction."
        )
    kept = tuple(ids[: context - more])
    warning = f"The input is longer than {context:,} tokens; the rest is not seen." if len(kept) < len(ids) else ""
    return Conversation(kept, pictures, len(kept) + more, warning)
