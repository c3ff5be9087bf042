"""Find the folder of a face pack by its name, or say which files to get, and where to put them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...tensor_files import printable
from ..catalogue import Catalogue
from ..folders.face_packs import BELOW, face_packs, onnx_files
from .explanation import advice
from .requirement import short


def pack_names(roots: Sequence[Path], catalogue: Catalogue) -> list[str]:
    """The names of the face packs that are there, then those of the others that are published."""
    published = (entry.id for entry in catalogue.find(kind="face pack"))
    return list(dict.fromkeys([*face_packs(roots), *published]))


def pack_folder(name: str, roots: Sequence[Path], catalogue: Catalogue) -> Path:
    """The folder with the files of a face pack.

    roots: the folders of the type "insightface"

    Raises:
        ValueError: it is not there. The text says which files to get, from where, into which folder, and their licence.
    """
    found = face_packs(roots).get(name)
    if found is None:
        raise ValueError(printable(_missing(name, roots, catalogue)))
    return found


def _missing(name: str, roots: Sequence[Path], catalogue: Catalogue) -> str:
    places = short(roots)
    where = f"The face pack {name} is not in {' or '.join(places)}."
    entry = next((entry for entry in catalogue.find(kind="face pack") if entry.id == name), None)
    if entry is None:
        return f"{where} Choose one of {', '.join(pack_names(roots, catalogue))}."
    archive = entry.files[0]
    packed = [
        place
        for root, place in zip(roots, places, strict=True)
        for parent in (root, root / BELOW)
        if (parent / archive).is_file()
    ]
    here = f" {archive} is in {packed[0]}, but it is not unpacked." if packed else _begun(name, roots, places)
    return f"{where}{here} {advice(entry, places[0])}"


def _begun(name: str, roots: Sequence[Path], places: Sequence[str]) -> str:
    """A sentence about a folder of the pack that holds too few of its files; "" if there is none."""
    for root, place in zip(roots, places, strict=True):
        for inner in (f"{BELOW}/{name}", f"{BELOW}/{name}/{name}", name, f"{name}/{name}"):
            if files := onnx_files(root / inner):
                return f" {place}/{inner} holds {' and '.join(sorted(files))} alone."
    return ""
