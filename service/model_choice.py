"""Which files a service uses: those that were named, or those that are found by what they are for."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from ..ip_adapter import ENCODERS
from ..model_files.catalogue import Catalogue
from ..model_files.find import Folders, NotFound, installation_of
from ..model_files.folders import Installation
from ..model_files.index import CachedFiles, Identity, Index, identify, take_over
from ..model_files.matching import Need, resolve
from ..tensor_files import read_header

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Chosen:
    """A file, and the name, with its folders, that says what it is; `identity` if the index knows it."""

    path: Path
    name: str
    identity: Identity | None = None


class ModelChoice:
    """The files of an adapter and of an encoder, looked for when they are first asked for. Any thread may ask."""

    def __init__(
        self, where: Folders, purpose: str, base_model: str, adapter: StrPath | None, encoder: StrPath | None
    ) -> None:
        self._where = where
        self._need = Need("adapter", purpose=purpose, base_model=base_model)
        self._adapter = None if adapter is None else _named(adapter)
        self._encoder = None if encoder is None or encoder in ENCODERS.values() else _named(encoder)
        self._encoder_name = "" if encoder is None or self._encoder else os.fspath(encoder)
        self._lock = threading.RLock()
        self._installation: Installation | None = None
        self._index: Index | None = None

    def __str__(self) -> str:
        return str(self._adapter.path if self._adapter else self._need)

    def adapter(self) -> Chosen:
        """The file of the adapter. NotFound if there is none that would do."""
        with self._lock:
            if self._adapter is None:
                self._adapter = self._found(self._need)
            return self._adapter

    def encoder(self) -> Chosen:
        """The file of the encoder that was named, or of the one that the adapter reads. NotFound if it is not there."""
        with self._lock:
            if self._encoder is None:
                named = Need("encoder", encoder=self._encoder_name) if self._encoder_name else None
                self._encoder = self._found(named or Need.encoder_of(self._adapter_identity()))
            return self._encoder

    def chosen(self) -> dict[str, str | None]:
        """The paths of the files that were chosen so far."""
        files = {"adapter": self._adapter, "encoder": self._encoder}
        return {kind: file and str(file.path) for kind, file in files.items()}

    def close(self) -> None:
        with self._lock:
            if self._index is not None:
                self._index.close()

    def _adapter_identity(self) -> Identity:
        adapter = self.adapter()
        known = adapter.identity or identify(read_header(adapter.path), adapter.name)
        if known.kind != "adapter":
            raise ValueError(f"{adapter.name}: {known.problem or 'It is no IP-Adapter: choose another file.'}")
        return known

    def _found(self, need: Need) -> Chosen:
        if self._installation is None:
            self._installation = installation_of(self._where)
        catalogue, file = Catalogue.load(*self._installation.catalogues), self._installation.index_file
        if self._index is None:
            self._index = Index(self._installation.folders, file and take_over(file), cached=CachedFiles(catalogue))
        resolution = resolve(need, self._index, catalogue)
        if resolution.found is None:
            raise NotFound(resolution)
        return Chosen(resolution.found.file.path, resolution.found.file.name, resolution.found.identity)


def _named(path: StrPath) -> Chosen:
    return Chosen(Path(path), os.fspath(path))
