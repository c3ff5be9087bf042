"""Find folders of vision-language models, as they are published: config.json, weights and a tokenizer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...model_files.folders import Installation
from ...model_files.folders.hugging_face import hub_folder
from ...references.digests import sha256_of
from ...references.space import Space

TYPES = ("text_encoders", "clip_vision", "LLM", "VLM")  # of models, among which such folders are
DEPTH = 2  # how far below, as text_encoders/Qwen/Qwen3-VL-Embedding-2B
CACHED = "models--*/snapshots/*"  # in the cache of Hugging Face


def is_of_vision_language(space: Space) -> bool:
    """Whether the vectors of a space are those of a vision-language model."""
    from ...references.vision_language.pooling import pooling_of

    return pooling_of(space.feature) is not None


def folders_in(where: Installation) -> Iterator[tuple[str, Path]]:
    """(name, path) of the models in the folders of models and in the cache of Hugging Face."""
    from ...references.vision_language import is_vision_language

    known = where.folders.types()
    for folder in (path for each in TYPES if each in known for path in where.folders.paths(each)):
        for depth in range(1, DEPTH + 1):
            yield from ((path.name, path) for path in _below(folder, "/".join("*" * depth)) if is_vision_language(path))
    for path in _below(hub_folder(), CACHED):
        if is_vision_language(path):
            yield path.parents[1].name.rpartition("--")[2], path


def folder_of_library(library: Any, where: Installation) -> Path:
    """The folder that a library was made with, or another one with the same model.

    Raises:
        ValueError: there is none.
    """
    from ...references.vision_language import is_vision_language

    own = getattr(library, "library", library)
    path, digest = getattr(own, "encoder_path", ""), getattr(own, "encoder_sha256", "")
    if path and is_vision_language(path):
        return Path(path)
    found = [path for _, path in folders_in(where)]
    if len(found) == 1:
        return found[0]  # what is computed with it is compared by its weights again
    same = (path for path in found if digest and sha256_of(path) == digest)
    if path := next(same, next(iter(found), None)):
        return path
    raise ValueError(
        f"The library {library.name!r} was made with {library.space.title}, and no folder of a vision-language model "
        "was found. Give it with --encoder FOLDER."
    )


def _below(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(pattern) if os.path.isdir(path))
    except OSError:
        return []
