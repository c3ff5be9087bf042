"""An encoder of pictures and texts, whichever it is: a file of a CLIP, or the folder of a vision-language model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ..tensor_files import UnusableFile, printable, read_header
from .embedder import Embedder
from .vision_language.folder import is_vision_language, kind_of

if TYPE_CHECKING:
    import torch

    from ..clip_vision import Crop
    from .embedding import Embedding
    from .space import Space
    from .vision_language.encoder import VisionLanguageEncoder

DEEPSTACK = "visual.deepstack_merger_list.0.norm.weight"  # the end of a name that only Qwen3-VL has


class AnyEmbedder(Protocol):
    """What Embedder and VisionLanguageEncoder both do, and mean by it."""

    @property
    def space(self) -> Space: ...
    def embed_images(self, images: Any, *, crop: Crop = "center", chunk_size: int | None = None) -> Embedding: ...
    def embed_texts(self, texts: str | Sequence[str], template: str = "{}") -> Embedding: ...
    def too_long(self, texts: str | Iterable[str], template: str = "{}") -> list[int]: ...
    def info(self) -> dict[str, Any]: ...
    def close(self) -> None: ...
    def __enter__(self) -> AnyEmbedder: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_embedder(
    path: str | os.PathLike[str],
    device: torch.device | str = "auto",
    dtype: torch.dtype | str | None = "auto",
    *,
    space: Space | None = None,
    max_pixels: int | None = None,
) -> Embedder | VisionLanguageEncoder:
    """The encoder at a path: an `Embedder` of a file, which loads later, or the vision-language model in a folder.

    device, dtype: as both take them
    space: in which a vision-language model is to embed, if it can
    max_pixels: as a vision-language model takes it; None is its own limit. A CLIP has a size of its own

    Raises:
        ValueError: there is nothing, something else, or a part of an encoder; or as `load_vision_language`.
    """
    found = Path(path)
    if found.is_dir():
        _check_folder(found)
        from .vision_language.loading import load_vision_language

        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        encoder = load_vision_language(found, device, dtype, **limit)
        return encoder if space is None else encoder.in_space(space)
    if not found.exists():
        raise ValueError(f"There is no encoder {printable(str(found))!r}: give a file, or a folder of a Qwen3-VL.")
    _check_file(found)
    return Embedder(path, device, dtype)


def _check_folder(folder: Path) -> None:
    """Refuse a folder of anything but a vision-language model."""
    kind = kind_of(folder)
    if not kind:
        raise ValueError(
            f"{printable(str(folder))!r} is a folder without the config.json of a model. Give the file of an encoder, "
            "or the folder of a Qwen3-VL."
        )
    files = sorted(folder.glob("*.safetensors"))
    if not is_vision_language(folder) and len(files) == 1:
        raise ValueError(
            f"{printable(str(folder))!r} holds a model of type {kind!r:.80}. If it is an encoder of pictures, give the "
            f"path of its file, {files[0].name}; only a Qwen3-VL is given as a folder."
        )


def _check_file(file: Path) -> None:
    """Refuse the weights of a Qwen3-VL alone. Whether any other file is an encoder, its loading says."""
    if is_vision_language(file.parent) and file.suffix in (".safetensors", ".json"):
        raise ValueError(
            f"{printable(file.name)} is a part of the vision-language model in {printable(str(file.parent))!r}: give "
            "that folder."
        )
    try:
        names = read_header(file).tensors
    except (OSError, UnusableFile):
        return
    if any(name.endswith(DEEPSTACK) for name in names):
        raise ValueError(
            f"{printable(file.name)} holds the weights of a Qwen3-VL without its config.json and tokenizer. Outside "
            "ComfyUI it is given as the folder that was published, such as Qwen3-VL-Embedding-2B."
        )
