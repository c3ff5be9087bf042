"""One encoder file for pictures and texts."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from .embedding import Embedding, Logit
from .space import Space

if TYPE_CHECKING:
    import torch

    from ..clip_vision import Crop, TextEncoder, VisionEncoder

ROOM = 2**30  # bytes beside the weights, for what is computed
FEATURES = ("image_embeds", "cls")  # the first of these that an encoder has is what its pictures are compared by


def space_of(encoder: VisionEncoder) -> Space:
    """The space of the pictures of an encoder. ValueError if it has neither image_embeds nor cls."""
    from ..clip_vision import fingerprint

    config = encoder.config
    feature = next((feature for feature in FEATURES if encoder.gives(feature)), None)
    if feature is None:
        raise ValueError(
            f"The file of {config.name} holds no pooling head, so it has no vector of a whole picture. Use a file "
            "saved with the whole model."
        )
    dimension = (feature == "image_embeds" and config.projection) or config.width
    return Space(config.name, dimension, fingerprint(encoder), feature)


def embed(
    encoder: VisionEncoder,
    images: Any,
    *,
    crop: Crop = "center",
    chunk_size: int | None = None,
    logit: Logit | None = None,
) -> Embedding:
    """The vectors of pictures: their image_embeds, or cls where the encoder has no projection, of length 1.

    images, crop, chunk_size: as `clip_vision.encode` takes them
    logit: of the text encoder beside it, where one is known

    Raises:
        ValueError: as `clip_vision.encode` and `space_of`.
    """
    return _embed(encoder, space_of(encoder), images, crop, chunk_size, logit)


def _embed(
    encoder: VisionEncoder, space: Space, images: Any, crop: Crop, chunk_size: int | None, logit: Logit | None
) -> Embedding:
    from ..clip_vision import encode

    features = encode(encoder, images, want=(space.feature,), crop=crop, chunk_size=chunk_size)
    return Embedding.of_vectors(features.select(space.feature), space, "image", logit)


def text_space_of(encoder: TextEncoder) -> Space:
    """The space of the texts of an encoder: that of the pictures of the image encoder in its file."""
    return Space(encoder.config.name, encoder.config.projection, encoder.fingerprint)


def logit_of(encoder: TextEncoder) -> Logit | None:
    """What a text encoder makes of cosines; None where its file does not say it."""
    if encoder.logit_scale is None:
        return None
    return Logit(encoder.logit_scale, encoder.logit_bias or 0.0, pairs=encoder.config.kind == "siglip")


def embed_text(
    encoder: TextEncoder,
    texts: str | Sequence[str],
    template: str = "{}",
    *,
    chunk_size: int | None = None,
    on_chunk: Callable[[int], object] | None = None,
) -> Embedding:
    """The vectors of texts, of length 1.

    template: what is written around each text, with {} for it: "a photo of a {}" suits single words
    chunk_size, on_chunk: as `clip_vision.encode_texts` takes them

    Raises:
        ValueError: as `clip_vision.encode_texts`, or the template has no {}.
    """
    from ..clip_vision import encode_texts

    vectors = encode_texts(encoder, filled(template, texts), chunk_size=chunk_size, on_chunk=on_chunk)
    return Embedding.of_vectors(vectors, text_space_of(encoder), "text", logit_of(encoder))


def filled(template: str, texts: str | Sequence[str]) -> list[str]:
    """The texts with the template around each. ValueError if there is none, one is empty, or the template has no {}."""
    from ..clip_vision.text.tokens import checked_texts

    if not isinstance(cast(object, template), str) or "{}" not in template:
        raise ValueError(f'The template is {template!r}: write {{}} where the text goes, such as "a photo of a {{}}".')
    return [template.replace("{}", text.strip()) for text in checked_texts(texts)]


def roomy_device(device: torch.device | str, path: str | os.PathLike[str]) -> torch.device | str:
    """The device, but the CPU for "auto" where the memory that is free on the GPU is too small for a model file."""
    return roomy(device, os.path.getsize(path)) if os.path.isfile(path) else device


def roomy(device: torch.device | str, size: int) -> torch.device | str:
    """The device, but the CPU for "auto" where the memory that is free on the GPU is too small for so many bytes."""
    import torch

    from ..tensor_files.placement import AUTO, find_device

    if device != AUTO:
        return device
    found = find_device(device)
    if found.type == "cuda" and torch.cuda.mem_get_info(found)[0] < size + ROOM:
        return "cpu"
    return found


class Embedder:
    """One encoder file for pictures and, where it is a full file, for texts.

    Nothing is loaded before it is needed: the image encoder with the first picture, the text encoder with the first
    text. Used by one thread at a time; `with` closes it.

    path: of the file of the image encoder
    device, dtype: as `clip_vision.load` takes them; "auto" is a GPU if there is one with room for the file
    text: the path of another file for texts, whose image encoder has the same weights; by default it is `path`
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: torch.device | str = "auto",
        dtype: torch.dtype | str | None = "auto",
        *,
        text: str | os.PathLike[str] | None = None,
    ):
        self.path, self.text_path = path, path if text is None else text
        self.device, self.dtype = device, dtype
        self._images: VisionEncoder | None = None
        self._texts: TextEncoder | None = None
        self._space: Space | None = None

    @property
    def image_encoder(self) -> VisionEncoder:
        """Loaded at its first use. Raises the ValueErrors of `clip_vision.load`."""
        from ..clip_vision import load

        if self._images is None:
            self._images = load(self.path, roomy_device(self.device, self.path), self.dtype)
        return self._images

    @property
    def text_encoder(self) -> TextEncoder:
        """Loaded at its first use. Raises the ValueErrors of `clip_vision.load_text`."""
        from ..clip_vision import load_text

        if self._texts is None:
            self._texts = load_text(self.text_path, roomy_device(self.device, self.text_path), self.dtype)
        return self._texts

    @property
    def space(self) -> Space:
        """Of the pictures, and of the texts. Loads the image encoder at its first use."""
        if self._space is None:
            self._space = space_of(self.image_encoder)
        return self._space

    def embed_images(self, images: Any, *, crop: Crop = "center", chunk_size: int | None = None) -> Embedding:
        """As `embed`."""
        logit = None if self._texts is None else logit_of(self._texts)
        return _embed(self.image_encoder, self.space, images, crop, chunk_size, logit)

    def embed_texts(self, texts: str | Sequence[str], template: str = "{}") -> Embedding:
        """As `embed_text`."""
        return embed_text(self.text_encoder, texts, template)

    def too_long(self, texts: str | Iterable[str], template: str = "{}") -> list[int]:
        """The numbers, from 0, of the texts of which the end is not seen."""
        texts = texts if isinstance(texts, str) else list(texts)
        return self.text_encoder.too_long(filled(template, texts))

    def info(self) -> dict[str, Any]:
        """What the file holds and what of it is loaded where. Loads the image encoder."""
        space, images, texts = self.space, self.image_encoder, self._texts
        return {
            "encoder": space.encoder,
            "dimension": space.dimension,
            "weights": space.weights,
            "feature": space.feature,
            "device": str(images.weight_device),
            "dtype": str(images.dtype).removeprefix("torch."),
            "image_size": images.config.image_size,
            "text": None if texts is None else {"context": texts.config.context, "logit_scale": texts.logit_scale},
        }

    def close(self) -> None:
        """Let go of what is loaded, and of memory on a GPU. It may be used again, and then loads anew."""
        self._images = self._texts = None
        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
