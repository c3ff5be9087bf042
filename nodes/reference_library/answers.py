"""What the browser is told of libraries: which there are, what is found in them, and small pictures. It only reads.

A picture is known by its number in a library; no path but one below a library's own roots leads to any file, and none
is told in full.
"""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import folder_paths
import torch

from ...references.embedder import embed_text
from ...references.embedding import Embedding
from ...references.search import Searchable
from ...tensor_files import printable, without_folders
from .. import input_checks
from ..embeddings.text_half import TextHalf
from ..folders import all_shared, prompt_server
from ..panels.references import NotListed
from .finding import Changed, found_like, names_of, newest, pictures_of, search
from .libraries import looked_at, names, opened
from .thumbnails import thumbnail

MOST = 200  # pictures in one answer
USUAL = 40
LONGEST_TEXT = 1000  # characters that are searched
SHOWN_TEXT = 300  # characters of what is told of a picture
LARGEST_ID = 1 << 53  # that JSON carries exactly


class NotReady(ValueError):
    """What is needed is not loaded, or is in use: the same question may be answered later."""


def listed_libraries() -> dict[str, Any]:
    """All libraries, and why one cannot be searched."""
    return {"libraries": [_listed(name) for name in names()]}


def search_answer(asked: Mapping[str, str]) -> dict[str, Any]:
    """The pictures of `library` that fit `text`, or are like the picture `id`; without either, the newest.

    k: how many at most. minimum: of their cosine. folder: in which they lie, below a root

    Raises:
        NotListed: there is no such library, or no such picture in it; or the library changed while it was searched.
        NotReady: a text is searched while a workflow runs, or no text encoder of the library's space is loaded.
        ValueError: this cannot be asked.
    """
    library = _library(asked)
    k = _whole(asked, "k", 1, MOST, USUAL)
    minimum = _cosine(asked)
    text, folder = asked.get("text", "").strip(), asked.get("folder", "")
    if text and "id" in asked:
        raise ValueError("Ask for a text or for an id, not for both.")
    if os.path.isabs(folder) or folder.startswith(("/", "\\")):  # the answer would tell which folders there are
        raise ValueError("Give the folder as it is in the library, such as cats/black, and no whole path.")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"The text has {len(text):,} characters: search one of at most {LONGEST_TEXT:,}.")
    try:
        if text:
            hits = search(library, embedded(library, text), k, minimum, folder)
        elif "id" in asked:
            hits = found_like(library, _picture(library, asked).id, k, minimum, folder)
        else:
            hits = newest(library, k, folder)
        pictures = pictures_of(library, [id for id, _ in hits])
    except Changed as error:
        raise NotListed(str(error)) from error
    return {
        "library": library.name,
        "generation": library.generation,
        "found": [
            _found(library, picture, name, score)
            for picture, name, (_, score) in zip(pictures, names_of(library, pictures), hits, strict=True)
        ],
    }


def embedded(library: Searchable, text: str) -> Embedding:
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
            return embed_text(half.model, [text])
    except RuntimeError as error:  # moved meanwhile, or the device is full
        raise NotReady("The text encoder is in use by a workflow: search again in a moment.") from error


def _workflow_runs() -> bool:
    return bool(getattr(getattr(prompt_server(), "prompt_queue", None), "currently_running", None))


def small_picture(asked: Mapping[str, str]) -> bytes:
    """A small PNG of the picture `id` of `library`, whose file lies below one of the library's roots.

    Raises:
        NotListed: there is no such picture, or its file is not there, elsewhere behind a link, or not shown.
    """
    library = _library(asked)
    picture = _picture(library, asked)
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


def _listed(name: str) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "count": 0, "encoder": "", "dimension": 0, "generation": 0, "error": ""}
    try:
        _, library = looked_at(name)  # those that are searched stay open
    except (OSError, ValueError) as error:
        return told | {"error": printable(without_folders(" ".join(str(error).split())), SHOWN_TEXT)}
    space = library.space
    return told | {
        "count": library.count,
        "encoder": space.encoder,
        "dimension": space.dimension,
        "generation": library.generation,
    }


def _library(asked: Mapping[str, str]) -> Searchable:
    name = asked.get("library", "")
    if name not in names():
        raise NotListed(f"There is no library {printable(name, 100)!r}.")
    return opened(name)


def _picture(library: Searchable, asked: Mapping[str, str]) -> Any:
    id = _whole(asked, "id", 0, LARGEST_ID, None)
    try:
        return library.picture(id)
    except (KeyError, ValueError) as error:
        raise NotListed(f"There is no picture {id} in the library {library.name!r}.") from error


def _found(library: Searchable, picture: Any, name: str, score: float | None) -> dict[str, Any]:
    return {
        "id": picture.id,
        "path": name,
        "score": score,
        "width": picture.width,
        "height": picture.height,
        "rating": picture.rating,
        "kind": picture.kind,
        "text": printable(picture.text, SHOWN_TEXT),
        "state": picture.sha256[:16],
        "input": _input_name(library, picture),
    }


def _input_name(library: Searchable, picture: Any) -> str:
    """How Load Image calls the picture, if it lies in ComfyUI's input folder; otherwise an empty text."""
    if picture.kind != "image":
        return ""
    try:
        path = inside_root(library, picture)
        return path.relative_to(os.path.realpath(folder_paths.get_input_directory())).as_posix()
    except (OSError, ValueError):
        return ""


def _whole(asked: Mapping[str, str], name: str, low: int, high: int, usual: int | None) -> int:
    return int(_number(asked, name, low, high, usual, int))


def _cosine(asked: Mapping[str, str]) -> float | None:
    return _number(asked, "minimum", -1, 1, None, float) if "minimum" in asked else None


def _number(
    asked: Mapping[str, str], name: str, low: float, high: float, usual: float | None, read: Callable[[str], float]
) -> float:
    text = asked.get(name)
    if text is None and usual is not None:
        return usual
    try:
        value = read(text or "") if len(text or "") <= 32 else math.nan
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        kind = "whole number" if read is int else "number"
        raise ValueError(f"{name} is {input_checks.described(text)}: it must be a {kind} from {low:,} to {high:,}.")
    return value
