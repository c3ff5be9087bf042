"""What would help where a node fails, as data beside the message of its error: js/notices.js makes buttons of it.

An error carries it from where the search for files has ended to the wrapper of all nodes, which sends it to the
browser; any other program reads the message, which says the same in words.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from ..model_files.catalogue import Entry
from ..model_files.index import IndexedFile
from ..model_files.matching import Resolution
from ..model_files.matching.support import refusal
from .folders import MORE_ADAPTERS

LINKS = 2  # as many as the message names
INPUTS = {  # kind of a file -> inputs in which loaders, also other packs', list such files
    "adapter": ("adapter_name", "ipadapter_file", "ipadapter", "ipadatper", "instantid_file", "pulid_file"),
    "encoder": ("encoder_name", "clip_name", "clip_vision", "clip_vision_name"),
}


class Remedy(TypedDict):
    """do: "use" a file in the nearest of these inputs, "copy" the link of a file, or "open" the Models panel"""

    do: Literal["use", "copy", "open"]
    file: str
    inputs: list[str]
    link: str


OPEN_PANEL = Remedy(do="open", file="", inputs=[], link="")


def with_remedies(error: ValueError, remedies: Sequence[Remedy]) -> ValueError:
    """The error, that carries what would help. It stays a ValueError: people read the names of errors too."""
    error.__dict__["remedies"] = list(remedies)
    return error


def remedies_of(error: BaseException) -> list[Remedy]:
    return error.__dict__.get("remedies", [])


def remedies(resolution: Resolution) -> list[Remedy]:
    """What would help where the search for a file ended so: the file that was found, or what to download."""
    kind = resolution.need.kind
    if resolution.found:
        return [use(kind, resolution.found), OPEN_PANEL] if _is_said(resolution) else [OPEN_PANEL]
    if resolution.misplaced:
        return [OPEN_PANEL]
    return [*(copy(entry) for entry in _to_get(resolution)[:LINKS]), OPEN_PANEL]


def use(kind: str, file: IndexedFile) -> Remedy:
    return Remedy(do="use", file=listed(file), inputs=list(INPUTS.get(kind, ())), link="")


def copy(entry: Entry) -> Remedy:
    return Remedy(do="copy", file=entry.files[0], inputs=[], link=entry.url or entry.page)


def _is_said(resolution: Resolution) -> bool:
    """Whether the need says which file it is, and not of any adapter that it would do."""
    need = resolution.need
    return any((need.family, need.purpose, need.base_model, need.encoder, need.file_name))


def _to_get(resolution: Resolution) -> list[Entry]:
    return [entry for entry in resolution.wanted if (entry.url or entry.page) and not refusal(entry)]


def listed(found: IndexedFile) -> str:
    """The name under which the node that loads it lists the file."""
    name = found.file.name.replace("/", os.sep)
    return f"{found.file.type}/{name}" if found.file.type in MORE_ADAPTERS else name


def explained_remedies(error: ValueError) -> dict[str, Any]:
    """A message and what would help, as they are sent."""
    return {"text": str(error), "remedies": remedies_of(error)}
