"""An encoder file of models/clip_vision as the service asks it: the same objects, and the same vectors, as nodes have.

Letters: n inputs, S the side of the square that an encoder reads, D numbers of a vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...clip_vision import TextConfig, Tokenizer, preprocess
from ...references.embedder import logit_of
from ...references.embedding import Embedding, Logit
from ...references.inputs import Input
from ...references.space import Space
from ...service.embedding.clip_model import batch_of_texts, check_alone, check_wish, prepared_text
from ...service.embedding.model import Prepared, Wish
from ..embeddings.pictures import picture_space
from ..embeddings.text_half import TextHalf, text_half
from ..encoding.encoder import CLASS_TOKEN, ImageEncoder
from ..folders import ENCODER_FOLDER, file_state, model_path
from ..loading.load import plain_encoder
from .held import Held
from .idle import check_idle, unless_moved, while_idle


@dataclass(frozen=True)
class Reads:
    """How texts are read, which is known once their encoder is loaded."""

    tokenizer: Tokenizer
    config: TextConfig
    logit: Logit | None


class EncoderModel:
    """A loaded image encoder, and with the first text the text encoder in its file."""

    def __init__(self, name: str) -> None:
        self._path = model_path(ENCODER_FOLDER, name)
        self._state = file_state(self._path)
        encoder = plain_encoder(name)
        self.space: Space = picture_space(encoder)
        self._config = encoder.model.config
        self._info = {"encoder": encoder.name, "dtype": str(encoder.dtype).removeprefix("torch.")}
        self._device = str(encoder.load_device)
        self._reads: Reads | None = None
        self._held = Held(encoder)
        self._held.watch(encoder.patcher)

    @property
    def logit(self) -> Logit | None:
        """Known with the first text."""
        return self._reads and self._reads.logit

    def space_of(self, wish: Wish) -> Space:
        check_wish(self.space, wish)
        return self.space

    def prepare(self, given: Input, wish: Wish) -> Prepared:
        check_idle()
        check_alone(self.space, given)
        return self._picture(given.image) if given.image is not None else self._text(given.text)

    def compute(self, prepared: Sequence[Prepared]) -> torch.Tensor:
        check_idle()
        of = str(prepared[0].batch)
        with self._held.used() as encoder:
            found = unless_moved(lambda: WAYS[of](encoder, [each.value for each in prepared]))
        return Embedding.of_vectors(found, self.space, of).vectors

    def info(self) -> dict[str, Any]:
        text = self._reads and {"context": self._reads.config.context}
        size = {"dimension": self.space.dimension, "image_size": self._config.image_size}
        return {**self._info, "device": self._device, **size, "text": text, "loaded": self._held.is_there}

    def is_current(self) -> bool:
        """Whether ComfyUI has it in memory still, and its file is the one that it was loaded from."""
        try:
            return self._held.is_there and file_state(self._path) == self._state
        except OSError:
            return False

    def close(self) -> None:
        self._held.let_go()

    def _picture(self, image: Any) -> Prepared:
        config = self._config
        pixels = preprocess([image], config.image_size, config.mean, config.std)[0]
        return Prepared("image", pixels, config.tokens)

    def _text(self, text: str) -> Prepared:
        reads = self._reads or self._load_text()
        return prepared_text(text, reads.tokenizer, reads.config)

    def _load_text(self) -> Reads:
        with self._held.used() as encoder:
            if self._reads is None:
                half = text_half(encoder)
                self._held.watch(half.patcher)
                self._reads = Reads(half.model.tokenizer, half.model.config, logit_of(half.model))
            return self._reads


def _of_pictures(encoder: ImageEncoder, pixel_values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Pictures (3, S, S) each, normalised -> (n, D)."""
    field = CLASS_TOKEN if encoder.space is not None and encoder.space.feature == CLASS_TOKEN else "image_embeds"
    with torch.inference_mode():
        encoder.load(while_idle)
        found = encoder.features(torch.stack([*pixel_values]), None, (field,), lambda _: None)
    return found[field]


def _of_texts(encoder: ImageEncoder, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """The tokens of each text -> (n, D)."""
    half: TextHalf = text_half(encoder)
    module = half.model
    tokens = batch_of_texts(rows, module.tokenizer, module.config)
    with torch.inference_mode():
        half.load(while_idle)
        return module(tokens.to(module.weight_device)).float()


WAYS: dict[str, Callable[[ImageEncoder, Sequence[Any]], torch.Tensor]] = {"image": _of_pictures, "text": _of_texts}
