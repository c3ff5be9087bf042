"""Index the files in the model folders by content: built in the background on first use, then kept up to date.

    index = Index(folders, cache_file=user_folder / "image-prompt-index.json")
    for found in index.files("ipadapter"):      # waits for this type only; the others follow in the background
        found.file.name, found.identity, found.problem

A lookup checks the times of a few directories, then answers from memory. A change that these times do not show, such as
a file that was overwritten in place, is found by a pass in the background, at most every few seconds of use.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from ...tensor_files import Header, read_header
from ..folders import MODEL_TYPES, ModelFile, ModelFolders, modified
from .background_passes import Passes
from .cached_files import CachedFiles
from .identity import Identity, identify
from .index_cache import Known, load, save

TYPES = (  # where adapters, encoders and their relatives belong, then where they are put by mistake; large types last
    "ipadapter",
    "clip_vision",
    "insightface",
    "style_models",
    "model_patches",
    "photomaker",
    "instantid",
    "pulid",
    "ipadapter-flux",
    "xlabs_ipadapters",
    "infinite_you",
    "controlnet",
    "text_encoders",
    "loras",
    "diffusion_models",
    "checkpoints",
)
ONNX = Identity("face pack", "InsightFace")  # for every .onnx file, which is not opened

DIRECTORIES = 16  # how many directory times one lookup may check
REFRESH_SECONDS = 5.0  # at least between two passes over everything, while the index is used
REST = 10  # a pass that took long is followed by a rest of this many times its length
SAVE_SECONDS = 10.0  # between two saves: a first pass may take minutes and be interrupted
PASSING = (OSError, MemoryError)  # the disk failed, or reading was not permitted: the next pass may succeed
AGAIN = -1  # in place of a file's time: the next pass reads the file again


@dataclass(frozen=True)
class IndexedFile:
    file: ModelFile
    identity: Identity | None  # None if the file could not be read
    problem: str  # why this pack cannot use it, and what to do; "" if it can


@dataclass(frozen=True)
class Progress:
    """How far the pass over the files of a type has come."""

    type: str
    done: int
    total: int


@dataclass(frozen=True)
class View:
    """The result of a pass over one type."""

    files: tuple[IndexedFile, ...]
    directories: dict[str, int]  # the times of directories before the pass; lookups check the first ones
    ended: float
    seconds: float

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.ended > max(REFRESH_SECONDS, REST * self.seconds)


class Index:
    """An index of model folders. Any thread may ask; one daemon thread reads, while there is something to read."""

    def __init__(
        self,
        folders: ModelFolders,
        cache_file: Path | None = None,
        read: Callable[[Path], Header] = partial(read_header, listed=True),
        identify: Callable[[Header, str, str], Identity] = identify,
        types: Sequence[str] = TYPES,
        cached: CachedFiles | None = None,
    ):
        """cached: files in the Hugging Face cache, which come after those in the folders"""
        self.folders, self.cached = folders, cached
        self.types = tuple(types)
        self._cache_file, self._read, self._identify = cache_file, read, identify
        self._views: dict[str, View] = {}
        self._refused: dict[tuple[int, int], dict[str, tuple[str, str]]] = {}  # size, time -> path -> kind, why
        self._passes = Passes(self._scan, self._save)
        self._progress: Progress | None = None
        self._missing: ImportError | None = None  # torch, without which no new file can be identified
        self._reads = self._kept = self._lookups = 0
        self._slowest = 0.0
        # only the thread that reads uses these
        self._known: dict[str, Known] | None = None
        self._unsaved, self._saved_at = set[str](), time.monotonic()

    def files(
        self,
        model_type: str | None = None,
        wait: bool = True,
        timeout: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> list[IndexedFile]:
        """The files of a type, or of all types, in the order of their folders.

        wait: whether to wait, for at most `timeout` seconds, for the first pass over the type or a pass after a change;
            otherwise the answer is what is known so far
        on_progress: is called while waiting, and may raise an error to stop it

        Raises:
            ImportError: there are files that the index does not know yet, and torch, which identifies them, is missing.
        """
        begin = time.perf_counter()
        types = self.types if model_type is None else (model_type,)
        changed = [each for each in types if self._has_changed(each, max(2, DIRECTORIES // len(types)))]
        tickets = self._request(changed, wait)
        self._lookups += 1
        if tickets:
            self._passes.wait(tickets, timeout, lambda: self._tell(on_progress))
        else:
            self._slowest = max(self._slowest, time.perf_counter() - begin)
        self._check_torch()
        return [self._as_loaded(file) for each in types if (view := self._views.get(each)) for file in view.files]

    def refuse(self, path: str | Path, kind: str, why: str) -> None:
        """Mark a file as unusable until it changes, because loading it as this kind failed."""
        with suppress(OSError):
            status = os.stat(path)
            self._refused.setdefault((status.st_size, status.st_mtime_ns), {})[str(path)] = kind, why

    def can_use(self, found: IndexedFile) -> bool:
        """Whether a file can be loaded from where it is. ComfyUI does not list the Hugging Face cache."""
        return not found.file.cached or self.cached is not None and self.cached.usable

    def is_current(self, found: IndexedFile) -> bool:
        """Whether the file still exists, with the size and the time that it had when it was read."""
        try:
            status = os.stat(found.file.path)
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (found.file.size, found.file.mtime_ns)

    def rescan(
        self, *types: str, timeout: float | None = None, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        """Look at every file of these types again, now. Only those that have changed are read. Raises as `files`."""
        self._passes.wait(self._passes.request(types or self.types, ()), timeout, lambda: self._tell(on_progress))
        self._check_torch()

    def is_old(self, model_type: str) -> bool:
        """Whether the last pass over a type was more than a few seconds ago, or there was none."""
        view = self._views.get(model_type)
        return view is None or view.is_old

    def has_no_view(self, model_type: str) -> bool:
        """Whether the first pass over a type has not finished yet."""
        return model_type not in self._views

    def paths(self, model_type: str) -> list[Path]:
        """The folders of a type; none for a type that nobody knows."""
        return self.folders.paths(model_type) if model_type in MODEL_TYPES or model_type in self.folders.types() else []

    def stats(self) -> dict[str, object]:
        """Counts and times of the index, as plain data."""
        views = dict(self._views)
        return {
            "types": {
                model_type: {
                    "files": len(view.files),
                    "unusable": sum(bool(file.problem) for file in view.files),
                    "seconds": round(view.seconds, 3),
                }
                for model_type, view in views.items()
            },
            "files": sum(len(view.files) for view in views.values()),
            "headers_read": self._reads,
            "headers_kept": self._kept,
            "lookups": self._lookups,
            "slowest_warm_lookup_ms": round(1000 * self._slowest, 3),
            "building": self._passes.is_busy,
        }

    def close(self) -> None:
        """Stop reading. Lookups, also those that are waiting, answer with what is known so far."""
        self._passes.close()

    def _as_loaded(self, found: IndexedFile) -> IndexedFile:
        """The file with the problem that loading it has shown, if there was one."""
        refused = self._refused.get((found.file.size, found.file.mtime_ns), {})
        for path, (kind, why) in tuple(refused.items()):
            with suppress(OSError):
                if found.identity and found.identity.kind == kind and os.path.samefile(path, found.file.path):
                    return replace(found, problem=why)
        return found

    def _has_changed(self, model_type: str, directories: int) -> bool:
        view = self._views.get(model_type)
        return view is None or any(
            modified(path) != before for path, before in islice(view.directories.items(), directories)
        )

    def _request(self, changed: Sequence[str], wait: bool) -> dict[str, int]:
        old = [model_type for model_type in self.types if model_type not in changed and self.is_old(model_type)]
        return self._passes.request(changed, old) if wait else self._passes.request((), [*changed, *old])

    def _tell(self, on_progress: Callable[[Progress], None] | None) -> None:
        if on_progress and (progress := self._progress):
            on_progress(progress)

    def _check_torch(self) -> None:
        if self._missing:
            raise ImportError(str(self._missing)) from self._missing

    def _scan(self, model_type: str) -> bool:
        """Do one pass over the files of a type. False if it had to yield."""
        try:
            return self._pass_over(model_type)
        except ImportError as error:  # whoever waits for the files is told
            self._missing = error
            return True

    def _pass_over(self, model_type: str) -> bool:
        begin = time.monotonic()
        directories = {str(path): modified(str(path)) for path in self.paths(model_type)}
        found = self.folders.scan(model_type) if directories else []
        if self.cached:
            directories |= {path: modified(path) for path in self.cached.directories(model_type)}
            found += self.cached.scan(model_type)
        files: list[IndexedFile] = []
        for number, file in enumerate(found):
            if self._passes.must_yield:
                return False
            self._progress = Progress(model_type, number, len(found))
            if indexed := self._indexed(file):
                files.append(indexed)
            if time.monotonic() - self._saved_at > SAVE_SECONDS:
                self._save()
        for path in dict.fromkeys(str(file.path.parent) for file in found):
            directories.setdefault(path, modified(path))
        now = time.monotonic()
        self._views[model_type], self._progress = View(tuple(files), directories, now, now - begin), None
        return True

    def _indexed(self, file: ModelFile) -> IndexedFile | None:
        """The file with what is known about it, read again if it changed; None if it no longer exists."""
        if self._known is None:
            self._known = load(self._cache_file) if self._cache_file else {}
        known = self._known.get(str(file.path))
        if known and (known.size, known.mtime_ns) == (file.size, file.mtime_ns):
            self._kept += 1
        else:
            self._reads += 1
            known = self._look_into(file)
            if known is None:
                return None
            if known.mtime_ns != AGAIN:
                self._known[str(file.path)] = known
                self._unsaved.add(str(file.path))
        return IndexedFile(file, known.identity, known.problem or (known.identity.problem if known.identity else ""))

    def _look_into(self, file: ModelFile) -> Known | None:
        """Read a file: what it is, or why that is not known; None if it no longer exists."""
        try:
            identity = (
                ONNX
                if file.path.suffix.lower() == ".onnx"
                else self._identify(self._read(file.path), file.name, str(file.path))
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ImportError:  # says nothing about this file
            raise
        except Exception as error:  # whatever error a strange file causes must not hide the others
            if self._passes.is_closed:  # while a program ends, imports fail too
                return None
            passing = isinstance(error, PASSING) or isinstance(error.__cause__, PASSING)
            return Known(file.size, AGAIN if passing else file.mtime_ns, None, _why_not(file, error))
        return Known(file.size, file.mtime_ns, identity)

    def _save(self) -> None:
        """Save what is known. Missing files are forgotten only if they are many: an unplugged disk may come back."""
        self._saved_at = time.monotonic()
        if not (self._unsaved and self._known and self._cache_file):
            return
        gone = set[str]()
        if len(self._views) == len(self.types):
            here = {str(indexed.file.path) for view in self._views.values() for indexed in view.files}
            if len(self._known) > 2 * len(here) + 1000:  # what is there belongs to another ComfyUI of this user
                gone = {path for path in self._known.keys() - here if not os.path.lexists(path)}
        self._known = {path: known for path, known in self._known.items() if path not in gone}
        if save(self._cache_file, self._known, self._unsaved, gone):
            self._unsaved = set[str]()


def _why_not(file: ModelFile, error: Exception) -> str:
    """Why a file could not be identified, and what to do."""
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, OSError):
        return f"{file.path.name} could not be read: {error.strerror or error}. Check the disk and its permissions."
    logging.getLogger(__name__).error("%s could not be identified.", file.path, exc_info=error)
    return (
        f"{file.path.name} could not be identified ({type(error).__name__}: {error}). Get the file again; if that does "
        "not help, report it to the authors of this pack."
    )
