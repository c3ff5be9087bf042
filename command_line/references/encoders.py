"""Which encoder file a command computes with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model_files import read_header
from ...model_files.find import Finder
from ...model_files.folders import Installation
from ...model_files.index import IndexedFile
from ...references.digests import sha256_of
from ...references.space import Space
from ...tensor_files import UnusableFile, printable
from .vision_language import folder_of_library, folders_in, is_of_vision_language

if TYPE_CHECKING:
    from ...references.embedders import AnyEmbedder

TYPES = ("clip_vision", "text_encoders")  # folders where full CLIP files are
BATCH, FEW = 32, 4  # pictures between two looks at the clock: a vision-language model takes long for each
TEXT = "token_embedding.weight"  # a tensor that the text half has in every layout
FULL = "A full CLIP file holds the encoders of pictures and of texts, such as OpenAI's or LAION's model.safetensors."


def find(given: str | None, where: Installation, library: Any = None, text: bool = False) -> Path:
    """The file of an encoder: as given, or else the library's own, or else the first full CLIP file.

    given: a path, the name of a file or of a folder in the folders of encoders, or the name of an encoder
    library: whose encoder it has to be, if none is given
    text: whether texts are to be encoded with it, so that a file without that half does not do

    Raises:
        ValueError: there is no such file, it cannot be read, or it has no text half.
    """
    if given is not None:
        path = _given(given, where)
    elif library is not None and is_of_vision_language(library.space):
        path = folder_of_library(library, where)
    elif library is not None:
        path = _of_library(library, _encoders(where), text)
    else:
        path = _first(_encoders(where))
    if text and not path.is_dir() and not _has_text(path):
        open_encoder(path)  # of a part of a vision-language model it says more
        raise ValueError(f"{path} encodes pictures only, so no text compares with them. {FULL}")
    return path


def has_text(path: Path) -> bool:
    """Whether a file has the half of CLIP or SigLIP that encodes texts."""
    try:
        return _has_text(path)
    except (ValueError, OSError):
        return False


def _has_text(path: Path) -> bool:
    """As `has_text`. ValueError if the file cannot be read."""
    try:
        return any(name.endswith(TEXT) for name in read_header(path).state_dict)
    except UnusableFile as error:
        raise ValueError(f"{path} is no encoder that can be used: {printable(str(error), 500)}") from error


def _given(given: str, where: Installation) -> Path:
    if os.path.exists(given):
        return Path(given).resolve()
    named = [file.path for each in TYPES for file in where.folders.scan(each) if given in (file.name, file.path.stem)]
    named += [path for name, path in folders_in(where) if name == given]
    if named:
        return named[0]
    if given.lower().endswith((".safetensors", ".bin", ".pt", ".pth", ".ckpt")):
        raise ValueError(
            f"There is no file {printable(given)!r}, neither as a path nor in the folders of image encoders. The "
            "command `paths` lists them."
        )
    with Finder(where) as finder:
        return finder.encoder(given).file.path


def _encoders(where: Installation) -> list[IndexedFile]:
    """The usable encoder files, those that encode texts too first."""
    with Finder(where) as finder:
        files = [file for each in TYPES if each in where.folders.types() for file in finder.index.files(each)]
    usable = [file for file in files if file.identity and file.identity.kind == "encoder" and not file.problem]
    return sorted(usable, key=lambda file: not has_text(file.file.path))


def _first(encoders: Sequence[IndexedFile]) -> Path:
    if encoders:
        return encoders[0].file.path
    raise ValueError(f"No image encoder was found. Give one with --encoder FILE. {FULL}")


def _of_library(library: Any, encoders: Sequence[IndexedFile], text: bool) -> Path:
    """The file that a library was made with, or another of the same encoder."""
    space: Space = library.space
    named = [file.file.path for file in encoders if file.identity and file.identity.family == space.encoder]
    same = [path for path in named if not text or has_text(path)]
    if len(same) == 1:
        return same[0]
    digest: str = getattr(getattr(library, "library", library), "encoder_sha256", "")
    for path in same or [file.file.path for file in encoders]:
        if digest and sha256_of(path) == digest:
            return path
    if same:
        return same[0]  # what is computed with it is compared by its weights again
    if named:
        raise ValueError(f"{named[0]} encodes pictures only, so no text compares with them. {FULL}")
    raise ValueError(
        f"The library {library.name!r} was made with {space.title}, and no file of that encoder was found. Give it "
        "with --encoder FILE."
    )


def open_encoder(path: Path, library: Any = None, max_pixels: int | None = None, device: str = "auto") -> AnyEmbedder:
    """The encoder of a file, or of a folder with a vision-language model, which `with` closes.

    library: in whose space it is to embed; of it only the `space` is asked for
    max_pixels: of pictures for a vision-language model; None is its own limit

    Raises:
        ValueError: it is no encoder, or cannot be loaded.
    """
    from ...references.embedders import open_embedder

    return open_embedder(path, device, space=None if library is None else library.space, max_pixels=max_pixels)


def check_max_pixels(max_pixels: int | None, paths: Sequence[Path]) -> None:
    """Refuse a limit that no model has, or for encoders of which none is a vision-language model. By a ValueError."""
    from ...references.vision_language import is_vision_language
    from ...references.vision_language.pictures import check_pixels

    if max_pixels is None:
        return
    check_pixels(max_pixels)
    if not any(map(is_vision_language, paths)):
        raise ValueError(
            f"--max-pixels is for vision-language models. {printable(str(paths[0]))} is another encoder, which has a "
            "size of its own for all pictures: leave --max-pixels out."
        )


def batch_of(path: Path) -> int:
    """How many pictures are embedded at once, or with a vision-language model before what is done is shown."""
    return FEW if path.is_dir() else BATCH


def folder_of(path: Path) -> str:
    """Where a folder is; empty for a file, which is found among the model files. The encoder_path of a library."""
    return str(path.resolve()) if path.is_dir() else ""
