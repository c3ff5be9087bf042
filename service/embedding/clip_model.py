"""The encoders of a CLIP or SigLIP file, for a service. Letters: n inputs, S pixels along a side, N tokens."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...clip_vision import (
    TextConfig,
    TextEncoder,
    Tokenizer,
    VisionEncoder,
    encode_pixels,
    load,
    load_text,
    pack_weights,
    preprocess,
)
from ...clip_vision.dtypes import best_dtype
from ...references.embedder import logit_of, roomy_device, space_of
from ...references.embedding import Logit
from ...references.inputs import Input
from ...references.space import Space
from ...tensor_files.placement import AUTO, find_dtype
from ..memory import CHUNKS, is_out_of_memory, with_less_memory
from .model import Prepared, Wish

CPU = torch.device("cpu")
VISION_LANGUAGE = "a vision-language model, such as Qwen3-VL-Embedding"
T = TypeVar("T")
Encoder = TypeVar("Encoder", VisionEncoder, TextEncoder)


def check_wish(space: Space, wish: Wish) -> None:
    """Refuse what only vision-language models can do."""
    name = space.encoder
    if wish.dimensions is not None:
        raise ValueError(
            f"{name} gives vectors of {space.dimension} numbers and was not trained for shorter ones: leave "
            f"`dimensions` out, or choose {VISION_LANGUAGE}."
        )
    if wish.instruction is not None:
        raise ValueError(f"{name} takes no instruction: leave it out, or choose {VISION_LANGUAGE}.")
    if wish.pooling is not None:
        raise ValueError(f"{name} has one way of pooling: leave `pooling` out, or choose {VISION_LANGUAGE}.")


def check_alone(space: Space, given: Input) -> None:
    """Refuse a text and a picture in one input."""
    if given.image is not None and given.text.strip():
        raise ValueError(
            f"A text and a picture in one input: {space.encoder} embeds each alone, and only vision-language models "
            "embed both at once. Give two inputs, or choose such a model."
        )


def prepared_text(text: str, tokenizer: Tokenizer, config: TextConfig) -> Prepared:
    """A text as a CLIP or SigLIP reads it, cut to its context."""
    numbers, context = tokenizer.numbers(text.strip()), config.context
    row = tokenizer.row(numbers, context)
    is_cut = len(numbers) > tokenizer.room(context)
    warning = f"The text is longer than {context} tokens; the rest is not seen." if is_cut else ""
    return Prepared("text", row, len(row), warning)


def batch_of_texts(rows: Sequence[Sequence[int]], tokenizer: Tokenizer, config: TextConfig) -> Tensor:
    """The tokens of texts as one batch (n, tokens), as long as the longest where the rest changes nothing."""
    return tokenizer.filled(rows, max(map(len, rows)) if config.traits.causal else config.context)


class ClipModel:
    """A file of CLIP, SigLIP or another image encoder. Its texts are read where it has a text encoder.

    The encoder of texts is loaded with the first text. Where the memory of a GPU is too short, fewer inputs are
    computed at once, and in the end the encoder moves to the CPU and stays there.

    device, dtype: as `references.embedder.Embedder` takes them

    Raises:
        ValueError: as `clip_vision.load` and `references.embedder.space_of`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: torch.device | str = AUTO,
        dtype: torch.dtype | str | None = AUTO,
    ) -> None:
        self._path, self._device, self._dtype = path, device, dtype
        self._images = self._placed(lambda device: load(path, device, dtype))
        self._texts: TextEncoder | None = None
        self._loading = threading.Lock()
        self._space = space_of(self._images)

    @property
    def space(self) -> Space:
        return self._space

    @property
    def logit(self) -> Logit | None:
        return None if self._texts is None else logit_of(self._texts)

    def space_of(self, wish: Wish) -> Space:
        check_wish(self._space, wish)
        return self._space

    def prepare(self, given: Input, wish: Wish) -> Prepared:
        if given.image is None:
            return self._text(given.text)
        check_alone(self._space, given)
        config = self._images.config
        pixel_values = preprocess(given.image, config.image_size, config.mean, config.std)
        if len(pixel_values) != 1:
            raise ValueError(f"An input is one picture, and {len(pixel_values)} were given: make an input of each.")
        return Prepared("image", pixel_values[0], config.tokens)

    def _text(self, text: str) -> Prepared:
        encoder = self._text_encoder()
        return prepared_text(text, encoder.tokenizer, encoder.config)

    def compute(self, prepared: Sequence[Prepared]) -> Tensor:
        is_text = prepared[0].batch == "text"
        encoder = self._text_encoder() if is_text else self._images
        of = self._of_texts if is_text else self._of_pictures
        values = [each.value for each in prepared]
        if encoder.weight_device == CPU:
            return of(values, len(values))
        return with_less_memory(
            lambda chunk: of(values, chunk),
            lambda: self._on_cpu(encoder) or of(values, 1),
            chunks=[len(values), *(chunk for chunk in CHUNKS if chunk < len(values))],
        )

    def _of_pictures(self, pixel_values: Sequence[Tensor], chunk: int) -> Tensor:
        """Pixel values (3, S, S) each -> vectors."""
        feature = self._space.feature
        features = encode_pixels(
            self._images, torch.stack(list(pixel_values)), want=(feature,), chunk_size=chunk, keep_on=CPU
        )
        return F.normalize(features.select(feature), dim=1)

    def _of_texts(self, rows: Sequence[Sequence[int]], chunk: int) -> Tensor:
        """Tokens of each text -> vectors."""
        encoder = self._text_encoder()
        tokens = batch_of_texts(rows, encoder.tokenizer, encoder.config)
        with torch.no_grad():
            parts = [
                encoder(tokens[at : at + chunk].to(encoder.weight_device)).float().to(CPU)
                for at in range(0, len(rows), chunk)
            ]
        return F.normalize(torch.cat(parts), dim=1)

    def info(self) -> dict[str, Any]:
        images, texts, space = self._images, self._texts, self._space
        return {
            "encoder": space.encoder,
            "dimension": space.dimension,
            "weights": space.weights,
            "feature": space.feature,
            "device": str(images.weight_device),
            "dtype": str(images.dtype).removeprefix("torch."),
            "image_size": images.config.image_size,
            "tokens": images.config.tokens,
            "text": texts and {"context": texts.config.context, "device": str(texts.weight_device)},
        }

    def close(self) -> None:
        del self._images
        self._texts = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _text_encoder(self) -> TextEncoder:
        with self._loading:
            if self._texts is None:
                self._texts = self._placed(lambda device: load_text(self._path, device, self._dtype))
            return self._texts

    def _placed(self, load: Callable[[torch.device | str], T]) -> T:
        """What is loaded on the device, or on the CPU where its memory is too short."""
        try:
            return load(roomy_device(self._device, self._path))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return load(CPU)

    def _on_cpu(self, encoder: VisionEncoder | TextEncoder) -> None:
        encoder.to(CPU, find_dtype(self._dtype, best_dtype(CPU)))
        pack_weights(encoder)
