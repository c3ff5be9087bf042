"""Find face packs: folders of ONNX files, one of which finds faces and one recognises them.

ROOT/models/PACK/          where InsightFace looks for them
ROOT/models/PACK/PACK/     as the archive of antelopev2 unpacks
ROOT/PACK/, ROOT/PACK/PACK/

ROOT is a folder of the type "insightface".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .model_types import ONNX
from .scan import entries, is_model

BELOW = "models"
LEAST = 2  # files of a pack: one finds faces, one recognises them


def face_packs(roots: Iterable[Path]) -> dict[str, Path]:
    """{the name of a pack: the folder with its files}, by the order of the folders of the type, then by name."""
    found: dict[str, Path] = {}
    for name, folder in _candidates(roots):
        if len(onnx_files(folder)) >= LEAST:
            found.setdefault(name, folder)
    return found


def onnx_files(folder: Path) -> list[str]:
    """The names of the ONNX files that are directly in a folder."""
    return [entry.name for entry in entries(str(folder)) if is_model(entry.name, ONNX)]


def _candidates(roots: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for root in roots:
        for parent in (root / BELOW, root):
            for name in (entry.name for entry in entries(str(parent)) if os.path.isdir(entry.path)):
                if name != BELOW:
                    yield name, parent / name
                    yield name, parent / name / name
