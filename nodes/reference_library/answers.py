"""What the browser is told of libraries: which there are, what is found in them, and small pictures. It only reads.

A picture is known by its number in a library; no path but one below a library's own roots leads to any file, and none
is told in full.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import folder_paths
import torch

from ...references.embedder import embed_text
from ...references.embedding import Embedding
from ...references.search import Searchable
from ...service.embedding.model import Busy
from ...service.http.libraries import LibraryAnswers
from ...tensor_files import without_folders
from ..embeddings.text_half import TextHalf
from ..folders import all_shared, prompt_server
from ..panels.references import NotListed
from ..serving.idle import unless_moved
from .libraries import looked_at, names, opened
from .thumbnails import thumbnail


class NotReady(Busy):
    """What is needed is not loaded, or is in use: the same question may be answered later."""


def listed_libraries() -> dict[str, Any]:
    """All libraries, and why one cannot be searched."""
    return LIBRARIES.listed()


def search_answer(asked: Mapping[str, str]) -> dict[str, Any]:
    """The pictures of `library` that fit `text`, or are like the picture `id`; without either, the newest.

    Raises:
        NotListed, NotReady, ValueError: as `LibraryAnswers.search`.
    """
    return LIBRARIES.search(asked.get("library", ""), asked)


def embedded(library: Searchable, text: str, _: str = "") -> Embedding:
    """A text by the encoder of the library's space, where it is in memory now. No model is loaded here.

    Raises:
        NotReady: it is not, or a workflow runs.
    """
    if _workflow_runs():  # it may move or patch the same weights, and needs the memory
        raise NotReady("A workflow is running: search by text once it has ended.")
    halves = [each for _, each in all_shared() if isinstance(each, TextHalf)]
    half = next((each for each in halves if each.space.is_same(library.space)), None)
    if half is None:
        raise NotReady(
            f"Searching by text needs the text encoder of {library.space.encoder}, and it is not loaded: run a "
            "workflow with Load Image Encoder (a full CLIP file) and Embed Text once, and search again."
        )
    try:
        with torch.inference_mode():
            return unless_moved(lambda: embed_text(half.model, [text]))
    except (Busy, RuntimeError) as error:  # moved or cancelled meanwhile, or the device is full
        raise NotReady("The text encoder is in use by a workflow: search again in a moment.") from error


def _workflow_runs() -> bool:
    return bool(getattr(getattr(prompt_server(), "prompt_queue", None), "currently_running", None))


def small_picture(asked: Mapping[str, str]) -> bytes:
    """A small PNG of the picture `id` of `library`, whose file lies below one of the library's roots.

    Raises:
        NotListed: there is no such picture, or its file is not there, elsewhere behind a link, or not shown.
    """
    library = LIBRARIES.library(asked.get("library", ""))
    picture = LIBRARIES.picture(library, asked)
    try:
        return thumbnail(inside_root(library, picture), picture.kind)
    except (OSError, ValueError) as error:
        raise NotListed(f"Picture {picture.id} is not shown: {without_folders(str(error))}") from error


def inside_root(library: Searchable, picture: Any) -> Path:
    """The file of a picture, with links followed. Raises a ValueError if that is not below its root."""
    path = library.path_of(picture)
    root = path.parents[len(PurePosixPath(picture.path).parts) - 1]
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(root)):
        raise ValueError("its file lies elsewhere, behind a link.")
    if not real.is_file():
        raise ValueError("its file is not there any more.")
    return real


def _input_name(library: Searchable, picture: Any) -> str:
    """How Load Image calls the picture, if it lies in ComfyUI's input folder; otherwise an empty text."""
    if picture.kind != "image":
        return ""
    try:
        path = inside_root(library, picture)
        return path.relative_to(os.path.realpath(folder_paths.get_input_directory())).as_posix()
    except (OSError, ValueError):
        return ""


LIBRARIES = LibraryAnswers(
    names=names,
    look=lambda name: looked_at(name)[1],  # those that are searched stay open
    open=opened,
    embed=embedded,
    also=lambda library, picture: {"input": _input_name(library, picture)},
)
