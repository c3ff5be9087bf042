"""List the adapters and image encoders of the catalogue that are in the Hugging Face cache."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..catalogue import Catalogue, Entry
from ..folders import ADAPTER_TYPES, MODEL_TYPES, ModelFile
from ..folders.hugging_face import hub_folder, repository_folder, snapshots
from ..folders.scan import model_files

KINDS = ("adapter", "encoder")
TYPES = (*ADAPTER_TYPES, "clip_vision")


class CachedFiles:
    """The files of the catalogue's adapters and encoders in the Hugging Face cache, in their repositories alone.

    Other repositories, which may hold hundreds of gigabytes, and other files are not looked at.

    usable: whether they can be loaded from there; otherwise they are only named, with where to put them
    """

    def __init__(self, catalogue: Catalogue, usable: bool = True) -> None:
        self.hub, self.usable = hub_folder(), usable
        self._catalogue = catalogue
        self._repositories: dict[str, list[str]] = {model_type: [] for model_type in TYPES}
        for entry in filter(_is_wanted, catalogue.entries):
            if entry.repository not in self._repositories[entry.folder]:
                self._repositories[entry.folder].append(entry.repository)

    def directories(self, model_type: str) -> list[str]:
        """The directories whose times tell that a file of a type may have come."""
        repositories = self._repositories.get(model_type, [])
        below = [str(repository_folder(self.hub, repository) / "snapshots") for repository in repositories]
        return [str(self.hub), *filter(os.path.isdir, below)] if repositories else []

    def scan(self, model_type: str) -> list[ModelFile]:
        """The files of a type, named by their repositories and their paths in these."""
        files: dict[str, ModelFile] = {}
        for file in self._files(model_type):
            files.setdefault(file.name, file)
        return list(files.values())

    def _files(self, model_type: str) -> Iterator[ModelFile]:
        for repository in self._repositories.get(model_type, []):
            for snapshot in snapshots(self.hub, repository):
                found = dict(model_files(str(snapshot), MODEL_TYPES[model_type].extensions, set()))
                for path in sorted(found):
                    entries = filter(_is_wanted, self._catalogue.in_repository(repository, path))
                    if any(entry.folder == model_type for entry in entries):
                        name, status = f"{repository}/{path}", found[path]
                        size, mtime_ns = status.st_size, status.st_mtime_ns
                        yield ModelFile(model_type, name, snapshot / path, self.hub, size, mtime_ns, cached=True)


def _is_wanted(entry: Entry) -> bool:
    return entry.kind in KINDS and entry.folder in TYPES and bool(entry.repository)
