"""What is searched for: a text, or a picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....model_files.folders import Installation
from ....tensor_files import printable
from ...terminal import wrapped
from ..encoders import find, open_encoder

if TYPE_CHECKING:
    from ....references.embedders import AnyEmbedder
    from ....references.embedding import Embedding
    from ....references.space import Space

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
MANY = 10  # pictures that are found, where no other number is given
AS_TEXT = "text:"  # before what is a text though it looks like a path


def usual(k: int | None) -> int:
    """How many pictures are found at most."""
    return MANY if k is None else k


def query_of(text: str | None, image: str | None) -> tuple[str, str]:
    """("text", the text) or ("image", the path), one of which is given. ValueError if it is empty."""
    return ("text", checked_text(text)) if image is None else ("image", checked_picture(image))


def what(typed: str) -> tuple[str, str]:
    """Whether what was typed is a picture or a text, and it itself. ValueError if it is neither."""
    if typed.startswith(AS_TEXT):
        return "text", checked_text(typed.removeprefix(AS_TEXT))
    if os.path.isfile(typed):
        return "image", typed
    if typed.lower().endswith(PICTURES) or os.path.isdir(typed):
        return "image", checked_picture(typed)
    return "text", checked_text(typed)


def checked_text(text: str | None) -> str:
    if text is None or not text.strip():
        raise ValueError("The text is empty. Say what the picture shows, such as 'a red bicycle in the rain'.")
    return text


def checked_picture(path: str) -> str:
    if os.path.isfile(path):
        return path
    shown = printable(path)
    if os.path.isdir(path):
        raise ValueError(f"{shown!r} is a folder, not a picture. Give the path of one picture.")
    raise ValueError(f"There is no picture {shown!r}. If it is a text, write {AS_TEXT} before it, or use --text.")


def embedded(kind: str, value: str, embedder: AnyEmbedder) -> Embedding:
    """The vector of a text or a picture, (1, D). A text of which the end is not seen is told on stderr."""
    if kind == "image":
        return embedder.embed_images([value])
    _tell_unseen(value, embedder)
    return embedder.embed_texts([value])


def asked(kind: str, value: str, embedder: AnyEmbedder) -> Embedding:
    """The same of what is searched for, which some encoders are told."""
    from ....references.inputs import Input
    from ....references.queries import embed_query

    if kind == "text":
        _tell_unseen(value, embedder)
    return embed_query(embedder, Input(value) if kind == "text" else Input(image=value))


def _tell_unseen(text: str, embedder: AnyEmbedder) -> None:
    from ....references.queries import unseen

    if said := unseen(embedder, text):
        notice(said)


def query_in(
    library: Any, options: Any, where: Installation, encoder: str | None = None
) -> tuple[dict[str, str], Embedding]:
    """What was asked for, for `--json`, and its embedding in the space of a library.

    encoder: as it was given; otherwise the library's own

    Raises:
        ValueError: it is empty, no encoder fits, or the encoder given is not the library's.
    """
    kind, value = query_of(options.text, options.image)
    if usual(options.k) < 1:
        raise ValueError(f"-k {options.k} finds nothing: ask for 1 picture or more.")
    if options.minimum is not None and not -1 <= options.minimum <= 1:
        raise ValueError(f"--minimum is a cosine in -1..1, not {options.minimum:g}.")
    path = find(encoder, where, library, kind == "text")
    with open_encoder(path, library) as embedder:
        query = asked(kind, value, embedder)
    check_space(library, query.space, path)
    return {kind: value}, query


def check_space(library: Any, space: Space, path: Path) -> None:
    """Refuse an encoder that is not the library's."""
    if not library.space.is_same(space):
        weights = " with other weights" if library.space.title == space.title else ""
        raise ValueError(
            f"The library {library.name!r} was made with {library.space.title}, and {path} holds {space.title}{weights}"
            ". Leave --encoder out or give that encoder, or embed the pictures anew in another library."
        )


def notice(text: str) -> None:
    for line in wrapped(text):
        print(line, file=sys.stderr)
