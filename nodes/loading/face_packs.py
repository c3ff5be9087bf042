"""The face packs in ComfyUI's folders: the models with which faces are found and recognised."""

from pathlib import Path

import folder_paths

from ...model_files.catalogue import BrokenCatalogue, Catalogue
from ...model_files.matching import pack_folder, pack_names
from ..folders import FACE_FOLDER
from ..remedies import OPEN_PANEL, copy, with_remedies
from .model_library import catalogue


def face_pack_names() -> list[str]:
    """The names of the face packs that are there, then those of the others that are published."""
    try:
        known = catalogue()
    except BrokenCatalogue:  # whoever looks for a missing pack is told
        known = Catalogue.load()
    return pack_names(_roots(), known)


def face_pack_folder(name: str) -> Path:
    """The folder with the files of a face pack.

    Raises:
        ValueError: it is not there. The text says which files to get, from where, into which folder, and their licence.
    """
    known = catalogue()
    try:
        return pack_folder(name, _roots(), known)
    except ValueError as error:
        published = [entry for entry in known.find(kind="face pack") if entry.id == name]
        raise with_remedies(error, [*map(copy, published), OPEN_PANEL]) from None


def _roots() -> list[Path]:
    return [Path(path) for path in folder_paths.get_folder_paths(FACE_FOLDER)]
