"""An encoder file of models/clip_vision as the service asks it: the same objects, and the same vectors, as nodes have.

Letters: n inputs, S the side of the square that an encoder reads, D numbers of a vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...clip_vision import Tokenizer, preprocess
from ...references.embedder import embed_text, logit_of
from ...references.embedding import Embedding, Logit
from ...references.inputs import Input
from ...references.space import Space
from ...service.embedding.model import Prepared, Wish
from ..embeddings.pictures import picture_space
from ..embeddings.text_half import TextHalf, text_half
from ..encoding.encoder import CLASS_TOKEN, ImageEncoder
from ..folders import ENCODER_FOLDER, file_state, model_path
from ..loading.load import load_encoder
from .held import Held
from .idle import check_idle, unless_moved, while_idle
from .wishes import check_alone, check_no_wish


@dataclass(frozen=True)
class Reads:
    """What is known of texts once the text encoder is loaded. context: tokens of a text at most"""

    tokenizer: Tokenizer
    context: int
    logit: Logit | None


class EncoderModel:
    """A loaded image encoder, and with the first text the text encoder in its file."""

    def __init__(self, name: str) -> None:
        self._path = model_path(ENCODER_FOLDER, name)
        self._state = file_state(self._path)
        encoder = load_encoder(name)
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
        check_no_wish(wish, self.space)
        return self.space

    def prepare(self, given: Input, wish: Wish) -> Prepared:
        check_idle()
        check_no_wish(wish, self.space)
        check_alone(given, self.space)
        return self._picture(given.image) if given.image is not None else self._text(given.text.strip())

    def compute(self, prepared: Sequence[Prepared]) -> torch.Tensor:
        check_idle()
        of = str(prepared[0].batch)
        with self._held.used() as encoder:
            found = unless_moved(lambda: WAYS[of](encoder, [each.value for each in prepared]))
        return Embedding.of_vectors(found, self.space, of).vectors

    def info(self) -> dict[str, Any]:
        text = self._reads and {"context": self._reads.context}
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
        own, room = len(reads.tokenizer.numbers(text)), reads.tokenizer.room(reads.context)
        around = reads.context - room
        warning = f"The text is longer than {self.space.encoder} reads; the rest is not seen." if own > room else ""
        return Prepared("text", text, min(own, room) + around, warning)

    def _load_text(self) -> Reads:
        with self._held.used() as encoder:
            if self._reads is None:
                half = text_half(encoder)
                self._held.watch(half.patcher)
                self._reads = Reads(half.model.tokenizer, half.model.config.context, logit_of(half.model))
            return self._reads


def _of_pictures(encoder: ImageEncoder, pixel_values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Pictures (3, S, S) each, normalised -> (n, D)."""
    field = CLASS_TOKEN if encoder.space is not None and encoder.space.feature == CLASS_TOKEN else "image_embeds"
    with torch.inference_mode():
        encoder.load(while_idle)
        found = encoder.features(torch.stack([*pixel_values]), None, (field,), lambda _: None)
    return found[field]


def _of_texts(encoder: ImageEncoder, texts: Sequence[str]) -> torch.Tensor:
    half: TextHalf = text_half(encoder)
    with torch.inference_mode():
        half.load(while_idle)
        return embed_text(half.model, texts).vectors


WAYS: dict[str, Callable[[ImageEncoder, Sequence[Any]], torch.Tensor]] = {"image": _of_pictures, "text": _of_texts}
