"""Models of files and folders that were named."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ...references.embedders import open_embedder
from ...references.vision_language import VisionLanguageEncoder
from ...tensor_files import printable
from ...tensor_files.placement import AUTO
from .clip_model import ClipModel
from .model import Model
from .vision_language_model import VisionLanguageModel

StrPath = str | os.PathLike[str]
State = tuple[tuple[str, int, int, int], ...]  # path, inode, size and time of each file


class FileModels:
    """CLIP and SigLIP by the paths of their files, Qwen3-VL by those of their folders.

    paths: by the names that they are asked for with; without names a path is asked for by its last part
    device, dtype: as `references.embedder.Embedder` takes them

    Raises:
        ValueError: there is none, one is not there, or two have one name.
    """

    def __init__(
        self,
        paths: Mapping[str, StrPath] | Sequence[StrPath],
        device: torch.device | str = AUTO,
        dtype: torch.dtype | str | None = AUTO,
    ) -> None:
        self._paths = _named(paths)
        self._device, self._dtype = device, dtype
        self._read = weakref.WeakKeyDictionary[Model, State]()  # what their files were when they were loaded

    def names(self) -> list[str]:
        return list(self._paths)

    def load(self, name: str) -> Model:
        path = self._paths[name]
        state = _state(path)
        model = self._open(path)
        self._read[model] = state
        return model

    def is_current(self, name: str, model: Model) -> bool:
        """A file that was taken away is no other one."""
        state = _state(self._paths[name])
        return not state or state == self._read[model]

    def _open(self, path: Path) -> Model:
        encoder = open_embedder(path, self._device, self._dtype)  # refuses what is neither, and loads no CLIP yet
        if isinstance(encoder, VisionLanguageEncoder):
            return VisionLanguageModel(encoder)
        return ClipModel(path, self._device, self._dtype)


def _named(paths: Mapping[str, StrPath] | Sequence[StrPath]) -> dict[str, Path]:
    pairs = paths.items() if isinstance(paths, Mapping) else [(Path(path).resolve().name, path) for path in paths]
    named: dict[str, Path] = {}
    for name, path in pairs:
        if name in named:
            raise ValueError(f"Two encoders are called {name!r}: {named[name]} and {path}. Give them names.")
        named[name] = Path(path)
        if not named[name].exists():
            raise ValueError(
                f"There is no encoder {printable(str(path))!r}: give a file of a CLIP, or a folder of a Qwen3-VL."
            )
    if not named:
        raise ValueError("No encoder was given: give the path of a CLIP or SigLIP file, or of a Qwen3-VL folder.")
    return named


def _state(path: Path) -> State:
    """A value that differs once a file, or one in a folder, was replaced or changed. Empty if it is not there."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return tuple(
            (str(file), status.st_ino, status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()]
        )
    except OSError:
        return ()
