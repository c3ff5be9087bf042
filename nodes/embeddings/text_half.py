"""The text encoder in the file of an image encoder, whose memory ComfyUI manages too."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import folder_paths
import torch

from ...clip_vision import TextEncoder, Tokenizer, load_text
from ...clip_vision.text.checkpoint import full_file_of
from ...clip_vision.text.siglip_tokenizers import MODELS, SPIECE, STYLES, read_tokenizer, tokenizer_beside
from ...references.embedder import embed_text, text_space_of
from ...references.embedding import Embedding
from ...tensor_files import read_header
from .. import input_checks
from ..encoding.encoder import ImageEncoder
from ..folders import ENCODER_FOLDER, listed_name, model_names, shared

TEXT_FOLDER = "text_encoders"
GEMMA, TOKENS_OF_GEMMA = "gemma_2_2b_fp16.safetensors", 256_000  # as Comfy-Org publishes it

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

    def load(self, moving: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """Have ComfyUI move the weights to the device. moving: entered while they are moved, and for nothing else"""
        with moving():
            comfy.model_management.load_models_gpu([self.patcher])

    def embed(self, texts: Sequence[str], on_chunk: OnChunk) -> Embedding:
        """Texts as they are, each as one vector."""
        self.load()
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
        find_tokenizer=partial(_tokenizer, encoder.name, path),
        variant=encoder.variant,
        name=name,
        ops=comfy.ops.disable_weight_init,
        pack=False,
    )
    half = TextHalf(module, encoder.load_device)
    if encoder.space is None or not half.space.is_same(encoder.space):
        raise ValueError(f"{name} has changed since its image encoder was loaded: run the workflow again.")
    return half


def _tokenizer(encoder: str, path: str, vocabulary: int) -> tuple[Tokenizer, list[str]]:
    """The tokenizer of a SigLIP: beside its file, or for SigLIP2 in a Gemma of ComfyUI's, whose tokenizer it has.

    Raises:
        ValueError: there is none, or a file beside cannot be read.
    """
    found, others = tokenizer_beside(path, vocabulary)
    if found is None:
        found = next(filter(None, (_of_gemma(name, vocabulary) for name in model_names(TEXT_FOLDER))), None)
    if found is None:
        stem = os.path.splitext(os.path.basename(path))[0]
        gemma = f", or {GEMMA} into models/{TEXT_FOLDER}" if vocabulary == TOKENS_OF_GEMMA else ""
        beside = f" Beside it {' and '.join(others)}: another model's." if others else ""
        raise ValueError(
            f"{encoder} reads texts with a tokenizer of {vocabulary:,} tokens, which its file does not hold. Put "
            f"tokenizer.json of {full_file_of(encoder)} beside it as {stem}.tokenizer.json{gemma}.{beside}"
        )
    return found, others


def _of_gemma(name: str, vocabulary: int) -> Tokenizer | None:
    """The tokenizer in a text encoder if it is a Gemma's and has so many tokens."""
    path = folder_paths.get_full_path(TEXT_FOLDER, name)
    try:
        if path is None or not name.endswith(MODELS) or SPIECE not in read_header(path).tensors:
            return None
        found = read_tokenizer(path)
    except (OSError, ValueError):  # one of many files, which may be damaged, or of T5, whose pieces are others
        return None
    return found if (found.vocabulary, found.pad) == (vocabulary, STYLES["<eos>"].pad) else None
