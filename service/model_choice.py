"""Which files a service uses: those that were named, or those that are found by what they are for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..model_files.find import Finder, Folders
from ..model_files.folders import MODEL_TYPES
from ..model_files.index import Identity, IndexedFile, identify
from ..model_files.matching import Need, identity_words
from ..tensor_files import UnusableFile, read_from, read_header
from ..tensor_files.weights import checked_path

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
        if adapter is not None and (purpose or base_model):
            raise ValueError(
                "Both the file of an adapter and a purpose or a base model were given: give the file, or what to find."
            )
        self._where, self._purpose, self._base_model = where, purpose, base_model
        self._encoder_name = str(encoder) if encoder is not None and not _is_path(encoder) else ""
        self._named = {
            "adapter": None if adapter is None else _named(adapter),
            "encoder": None if encoder is None or self._encoder_name else _named(encoder),
        }
        self.encoder_alone = encoder is not None and adapter is None and not (purpose or base_model)
        self._found: dict[str, Chosen] = {}
        self._lock = threading.RLock()
        self._finder: Finder | None = None

    def __str__(self) -> str:
        named = self._named["adapter"]
        return named.name if named else " ".join(filter(None, (self._purpose, self._base_model))) or "any adapter"

    def adapter(self) -> Chosen:
        """The file of the adapter.

        Raises:
            NotFound: there is none that would do.
            ValueError: a word is unknown, the file that was named is not there, or there is no ComfyUI.
        """
        with self._lock:
            return self._chosen("adapter", lambda: self._search().adapter(self._purpose, self._base_model))

    def encoder(self) -> Chosen:
        """The file of the encoder that was named, or of the one that the adapter reads. Raises what `adapter` does."""
        with self._lock:
            return self._chosen("encoder", self._find_encoder)

    def chosen(self) -> dict[str, str | None]:
        """The paths of the files that were chosen so far."""
        return {kind: str(self._found[kind].path) if kind in self._found else None for kind in self._named}

    def close(self) -> None:
        with self._lock:
            if self._finder is not None:
                self._finder.close()

    def _chosen(self, kind: str, find: Callable[[], IndexedFile]) -> Chosen:
        if kind not in self._found or not self._found[kind].path.exists():  # it may have been moved meanwhile
            named = self._named[kind]
            self._found[kind] = _checked(named, kind) if named else _of_index(find())
        return self._found[kind]

    def _find_encoder(self) -> IndexedFile:
        if self._encoder_name:
            return self._search().encoder(self._encoder_name)
        return self._search().find(Need.encoder_of(self._adapter_identity()))

    def _adapter_identity(self) -> Identity:
        known = (self._found.get("adapter") or self.adapter()).identity  # it may be loaded, and its file gone
        assert known  # of a named file too
        return known

    def _search(self) -> Finder:
        if self._finder is None:
            self._finder = Finder(self._where)
        return self._finder


def _is_path(encoder: StrPath) -> bool:
    """Whether this is the path of an encoder's file, and not the name of an encoder, which may have a slash too."""
    if not isinstance(encoder, str):
        return True
    return os.path.exists(encoder) or os.path.splitext(encoder)[1].lower() in MODEL_TYPES["clip_vision"].extensions


def _named(path: StrPath) -> Chosen:
    text = checked_path(path)
    return Chosen(Path(text), text)


def _checked(file: Chosen, kind: str) -> Chosen:
    """A file that was named, with what it is. ValueError if it cannot be read or used, or is of another kind."""
    with read_from(file.name):
        identity = identify(read_header(file.path), file.name)
    if identity.kind != kind or identity.problem:
        other = f" Give it as {identity.kind}=." if identity.kind in ("adapter", "encoder") else ""
        is_other = f"It is no {kind}, but {identity_words(identity)}: choose another file.{other}"
        wrong = is_other if identity.kind != kind else identity.problem
        raise UnusableFile(f"{file.name}: {wrong}")
    return replace(file, identity=identity)


def _of_index(file: IndexedFile) -> Chosen:
    return Chosen(file.file.path, file.file.name, file.identity)
