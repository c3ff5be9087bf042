"""Texts as IP-Adapter-Instruct reads them beside a picture: the last hidden states of CLIP-L.

Letters: R references, N tokens of a text, W width.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import comfy.model_management
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher

from .. import input_checks
from .features import OF_TEXTS, ImageFeatures

TOKENS, TOKENS_OF_WORDS = 77, 75  # that CLIP-L reads, and those between the first and the last of them
LAST_LAYER = -100  # beyond the first layer, which for ComfyUI means the output of the last one, normed


@dataclass(frozen=True, eq=False)
class Texts:
    """What is written beside a picture. clip: the text encoder; None if there is none"""

    clip: comfy.sd.CLIP | None
    instruction: str
    prompt: str

    def __post_init__(self):
        if self.clip is None and (self.instruction.strip() or self.prompt.strip()):
            written = "instruction" if self.instruction.strip() else "prompt"
            raise ValueError(f"The input {written} is written, and no clip is connected: connect one, or empty it.")
        if self.prompt.strip() and not self.instruction.strip():
            raise ValueError(
                "The prompt is written, and the instruction is empty: adapters that read the one read both. Write "
                "what to take from the image, or empty the prompt."
            )

    @property
    def is_empty(self) -> bool:
        return not self.instruction.strip()


NO_TEXTS = Texts(None, "", "")


def read_texts(clip: Any, instruction: Any, prompt: Any) -> Texts:
    """The texts of a node's inputs. Raises a ValueError if they do not go together, or cannot be encoded."""
    for name, text in (("instruction", instruction), ("prompt", prompt)):
        input_checks.expect(text, str, f"input {name}", "type a text, or connect a STRING")
    if clip is not None:
        input_checks.expect(clip, comfy.sd.CLIP, "clip", "connect the CLIP output of Load Checkpoint")
        if getattr(clip.cond_stage_model, "clip_l", None) is None:
            raise ValueError(
                f"The clip is a {type(clip.cond_stage_model).__name__}, and an instruction is read by CLIP-L: connect "
                "the CLIP of a SD1.5 or SDXL checkpoint."
            )
    return Texts(clip, instruction, prompt)


def add_texts(features: ImageFeatures, texts: Texts, references: int) -> None:
    """Add the texts to the features of pictures, (R, N, W) each.

    references: R
    """
    if texts.clip is not None and not texts.is_empty:
        for name in OF_TEXTS:
            states = encode_text(texts.clip, getattr(texts, name))
            setattr(features, name, states.expand(references, -1, -1).contiguous())
        features.negative_instruction = EmptyText(texts.clip)


def encode_text(clip: comfy.sd.CLIP, text: str) -> torch.Tensor:
    """The last hidden states of CLIP-L for a text, normed, (1, N, W). Brackets in it are read as brackets.

    ComfyUI's own call puts the CLIP-L of SDXL back to the layer that a prompt takes, so it is called here by itself.
    """
    comfy.model_management.load_models_gpu([clip.patcher])
    clip_l = clip.cond_stage_model.clip_l
    clip_l.reset_clip_options()
    clip_l.set_clip_options({"layer": LAST_LAYER, "execution_device": clip.patcher.load_device})
    try:
        states = cast(torch.Tensor, clip_l.encode_token_weights(clip.tokenize(text, disable_weights=True)["l"])[0])
    finally:
        clip_l.reset_clip_options()
    if states.shape[1] > TOKENS:
        logging.getLogger(__name__).warning(
            "The text %r is longer than %d tokens: the rest is not read.", text[:40], TOKENS_OF_WORDS
        )
    return states[:, :TOKENS].float()


class EmptyText:
    """What a text encoder makes of an empty text, (1, N, W), when this object is called."""

    def __init__(self, clip: comfy.sd.CLIP):
        self.clip = clip
        self.patcher: ModelPatcher = clip.patcher

    def __reduce__(self) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor]]:
        """Copy and save the states themselves, so that features do not take the text encoder along."""
        return torch.clone, (self(),)

    def __call__(self) -> torch.Tensor:
        return encode_text(self.clip, "")
