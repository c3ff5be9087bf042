"""The text encoder in the file of an image encoder, whose memory ComfyUI manages too."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch

from ...clip_vision import TextEncoder, load_text
from ...references.embedder import embed_text, text_space_of
from ...references.embedding import Embedding
from .. import input_checks
from ..encoding.encoder import ImageEncoder
from ..folders import ENCODER_FOLDER, listed_name, shared

OnChunk = Callable[[int], object]  # called with the number of texts that were encoded


class TextHalf:
    """A text encoder, as ComfyUI manages it.

    patched: how many of its weights LoRAs have changed
    """

    patched = 0

    def __init__(self, module: TextEncoder, load_device: torch.device):
        self.model = module
        self.space = text_space_of(module)
        self.name = f"{module.config.name}, text"
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            module,
            load_device=load_device,
            offload_device=comfy.model_management.text_encoder_offload_device(),
        )

    @property
    def kind(self) -> str:
        return self.name

    def too_long(self, texts: Sequence[str]) -> list[int]:
        """The numbers of the texts of which the end is not seen."""
        return self.model.too_long(texts)

    def embed(self, texts: Sequence[str], on_chunk: OnChunk) -> Embedding:
        """Texts as they are, each as one vector."""
        comfy.model_management.load_models_gpu([self.patcher])
        return embed_text(self.model, texts, on_chunk=on_chunk)


def text_half(clip_vision: Any) -> TextHalf:
    """The text encoder in the file of an image encoder. It stays as long as that, and all its users share it.

    Raises:
        ValueError: the image encoder is not ours or of no file, or its file holds no text encoder that can be used.
    """
    input_checks.expect(
        clip_vision,
        ImageEncoder,
        "clip_vision",
        "core's loader does not keep the file, in which the text encoder is. Load it with Load Image Encoder, or "
        "connect clip",
    )
    if not clip_vision.path:
        raise ValueError(f"{clip_vision.name} is of no file that could hold the text encoder: use Load Image Encoder.")
    if clip_vision.text_half is None:
        name = listed_name(ENCODER_FOLDER, clip_vision.path)
        options = ("text", clip_vision.variant, clip_vision.dtype)
        clip_vision.text_half = shared(ENCODER_FOLDER, name, options, partial(_load, clip_vision, name))
    return clip_vision.text_half


def _load(encoder: ImageEncoder, name: str, path: str) -> TextHalf:
    module = load_text(
        path,
        "cpu",  # from where ComfyUI moves it
        encoder.dtype,
        variant=encoder.variant,
        name=name,
        ops=comfy.ops.disable_weight_init,
        pack=False,
    )
    half = TextHalf(module, encoder.load_device)
    if encoder.space is None or not half.space.is_same(encoder.space):
        raise ValueError(f"{name} has changed since its image encoder was loaded: run the workflow again.")
    return half
