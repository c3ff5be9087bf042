"""The installation that the command line works on, and the files of the pack in its user folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .model_folders import ModelFolders, NotInstalled, StrPath

SYSTEM_USER = "image_prompt"  # ComfyUI never serves the folder of a system user: `user/__image_prompt`
INDEX = "image-prompt-index.json"  # both are in that folder; earlier versions kept them in the user folder itself
CATALOGUE = "image-prompt-catalogue.json"


def user_catalogues(private: Path) -> list[Path]:
    """The catalogue files of the user that exist. Where two differ, the later one counts."""
    return [path for path in (private.parent / CATALOGUE, private / CATALOGUE) if path.is_file()]


@dataclass(frozen=True)
class Installation:
    folders: ModelFolders
    private: Path | None  # the pack's folder in the user folder; None if no ComfyUI with a user folder is known

    @classmethod
    def find(cls, root: StrPath | None = None, extra: Sequence[str] = (), needed: bool = True) -> Installation:
        """The installation or models folder `root`; without it, the ComfyUI around this pack, or one in a usual place.

        extra: files like extra_model_paths.yaml, which add folders

        Raises:
            ValueError: a file of `extra`, or an extra_model_paths.yaml in the installation, cannot be read; or no
                installation was found, though it is `needed` and `extra` is empty.
        """
        folders = _base(root, not needed or bool(extra))
        for file in extra:
            if not os.path.isfile(file):
                raise ValueError(f"There is no file {file}. Give one like ComfyUI's extra_model_paths.yaml.")
            folders.add_extra_paths(file)
        return cls.of(folders)

    @classmethod
    def of(cls, folders: ModelFolders) -> Installation:
        """The installation to which these folders belong."""
        user = _user_folder(folders)
        return cls(folders, user and user / f"__{SYSTEM_USER}")

    @property
    def root(self) -> Path | None:
        """The folder that was given or found; None if the folders were named one by one."""
        return self.folders.root

    @property
    def index_file(self) -> Path | None:
        return self.private and self.private / INDEX

    @property
    def catalogues(self) -> list[Path]:
        """The user's own catalogue files."""
        return user_catalogues(self.private) if self.private else []


def _base(root: StrPath | None, may_be_absent: bool) -> ModelFolders:
    if root is not None:
        return ModelFolders.from_root(root)
    try:
        return ModelFolders.found()
    except NotInstalled:
        if may_be_absent:
            return ModelFolders()
        raise


def _user_folder(folders: ModelFolders) -> Path | None:
    """The user folder of the ComfyUI that is the root, or of the one to which the folders (ROOT/models/TYPE) belong."""
    above = [
        path.parents[1] for model_type in folders.types() for path in folders.paths(model_type) if len(path.parents) > 1
    ]
    for place in dict.fromkeys([folders.root, *above] if folders.root else above):
        beside = any((place / name).exists() for name in ("main.py", "custom_nodes"))  # Desktop's has no main.py
        if beside and os.path.isdir(place / "user"):
            return (place / "user").resolve()
    return None
