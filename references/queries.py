"""Embed what is searched for. Encoders that are told what to do with an input are told that it is a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .embedder import Embedder
from .embedding import Embedding
from .inputs import Input

if TYPE_CHECKING:
    from .embedders import AnyEmbedder


def embed_query(embedder: AnyEmbedder, query: Input) -> Embedding:
    """The vector of a query, (1, D). What is found by it is embedded by `embed_images` and `embed_texts`.

    Raises:
        ValueError: as the encoder's own.
    """
    from .vision_language import QUERY_INSTRUCTION, VisionLanguageEncoder

    if isinstance(embedder, VisionLanguageEncoder):
        return embedder.embed([query], instruction=QUERY_INSTRUCTION)
    return embedder.embed_texts([query.text]) if query.image is None else embedder.embed_images([query.image])


def unseen(embedder: AnyEmbedder, text: str) -> str:
    """A sentence where the end of a text is not seen; otherwise an empty one."""
    from .vision_language import QUERY_INSTRUCTION, VisionLanguageEncoder

    if isinstance(embedder, VisionLanguageEncoder):
        return embedder.read(Input(text), QUERY_INSTRUCTION).warning
    if not embedder.too_long([text]):
        return ""
    limit = f"{embedder.text_encoder.config.context} tokens" if isinstance(embedder, Embedder) else "the encoder reads"
    return f"The text is longer than {limit}; the rest is not seen."
