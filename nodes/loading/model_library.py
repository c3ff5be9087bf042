"""The index of the files in ComfyUI's model folders, by content, and the search for files that nodes need."""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import comfy.model_management
import folder_paths

from ...ip_adapter import IPAdapter
from ...model_files.catalogue import BrokenCatalogue, Catalogue
from ...model_files.folders import INDEX, SYSTEM_USER, ModelFolders, user_catalogues
from ...model_files.index import TYPES, CachedFiles, Index, IndexedFile, Progress, take_over
from ...model_files.matching import (
    PATIENCE,
    Matcher,
    Need,
    Report,
    Resolution,
    explain,
    full_name,
    glance,
    named,
    resolve,
    table,
)
from ..folders import not_there
from ..remedies import OPEN_PANEL, remedies, with_remedies

Folders = tuple[tuple[str, tuple[str, ...]], ...]
_one_at_a_time = threading.Lock()
_open: dict[tuple[Folders, str], Index] = {}  # at most one


def index() -> Index:
    """The index of the folders that ComfyUI has now, which may change: other packs add some."""
    known = (type for type in TYPES if type in folder_paths.folder_names_and_paths)
    folders = tuple((type, tuple(folder_paths.get_folder_paths(type))) for type in known)
    place = folders, str(index_file())
    with _one_at_a_time:
        if place not in _open:
            close_index()
            _open[place] = Index(ModelFolders(dict(folders)), take_over(Path(place[1])), cached=_cached_files())
        return _open[place]


def index_file() -> Path:
    """The file in which the index keeps what it knows."""
    return _private() / INDEX


def close_index() -> None:
    """Close the open index, so that only one index writes the index file."""
    while _open:
        _open.popitem()[1].close()


def catalogue() -> Catalogue:
    """The pack's catalogue, with the changes and additions of the user's own catalogue file."""
    return Catalogue.load(*user_catalogues(_private()))


def _cached_files() -> CachedFiles:
    """Files in the Hugging Face cache: ComfyUI does not list them, so that they are only named where one is missing."""
    try:
        return CachedFiles(catalogue(), usable=False)
    except BrokenCatalogue:  # whoever reads the catalogue next is told
        return CachedFiles(Catalogue.load(), usable=False)


def _private() -> Path:
    return Path(folder_paths.get_system_user_directory(SYSTEM_USER))


def encoder_need(adapter: IPAdapter) -> Need:
    """The need for the encoder that an adapter was made for."""
    return Need("encoder", encoder=adapter.encoder_name, needs_projection=adapter.needs_projection)


def companion_need(adapter: Resolution, known: Catalogue | None = None) -> Need | None:
    """The need for the LoRA that belongs to an adapter that was found, or None if none does."""
    known = known or catalogue()
    alike = known.named(full_name(adapter.found)) if adapter.found else []
    entry = next((entry for entry in adapter.wanted if entry in alike), next(iter(adapter.wanted), None))
    loras = known.find(kind="lora")
    companion = next((each for each in loras if entry and each.id == entry.companion), None)
    return companion and Need.for_entry(companion)


def look_for(need: Need, patience: float = PATIENCE, in_a_run: bool = True) -> Resolution:
    """Find the file for a need in ComfyUI's folders.

    patience: seconds, as `resolve` takes it
    in_a_run: whether Cancel is to interrupt it
    """
    return resolve(need, index(), catalogue(), patience, interruptible if in_a_run else None)


def indexed(folder: str, name: str) -> IndexedFile | None:
    """What the index knows now of a file that ComfyUI lists; None if it cannot be read."""
    for _ in range(2):
        files = index().files(folder, on_progress=interruptible)
        found = next((file for file in files if _is_listed_as(file, name)), None)
        if found and index().is_current(found):
            return found
        index().rescan(folder, on_progress=interruptible)
    return None


def _is_listed_as(file: IndexedFile, name: str) -> bool:
    return not file.file.cached and file.file.name == name.replace(os.sep, "/")


def is_by_content(file: IndexedFile, need: Need) -> bool:
    """Whether a file is what is needed and can be used, whatever it is called."""
    known = catalogue()
    return Matcher(need, need.wanted(known), known).fits_by_content(file)


def chosen_files(choices: Iterable[Sequence[Need]], patience: float) -> list[list[IndexedFile]]:
    """For each choice, the first adapter whose file is there, with its encoder and its LoRA if their files are there.

    patience: seconds to wait at most until folders are read; after that, what is known by then counts
    """
    known, end = catalogue(), time.monotonic() + patience

    def look(need: Need) -> Resolution:
        return glance(need, index(), known, max(0.0, end - time.monotonic()))

    def files(needs: Sequence[Need]) -> Iterator[IndexedFile | None]:
        adapter = next((found for found in map(look, needs) if found.found), None)
        if adapter and adapter.found and adapter.found.identity:
            companion = companion_need(adapter, known)
            yield adapter.found
            yield look(Need.encoder_of(adapter.found.identity)).found if adapter.found.identity.encoder else None
            yield look(companion).found if companion else None

    return [list(filter(None, files(needs))) for needs in choices]


def report(timeout: float | None = None) -> Report:
    """The report of all model files.

    timeout: seconds at most, for callers outside a workflow. Without it, Cancel interrupts the report
    """
    return table(index(), catalogue(), timeout=timeout, on_progress=interruptible if timeout is None else None)


def interruptible(_: Progress) -> None:
    """Stop waiting on Cancel. The first pass over thousands of files takes long, and continues in the background."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def explained_file(
    error: ValueError, kind: str, folder: str, name: str, lasting: bool = True, in_a_run: bool = True
) -> ValueError:
    """The error, plus which file to use or to download, when a file cannot be loaded. It never suggests that file.

    lasting: whether the file cannot be used until it changes, whatever other options are chosen
    in_a_run: as `look_for` takes it
    """
    said = str(error)
    if lasting:
        index().refuse(folder_paths.get_full_path(folder, name) or "", kind, said.removeprefix(f"{name}: "))
    try:
        entry = next((entry for entry in catalogue().named(name) if entry.kind == kind), None)
        resolution = look_for(Need.for_entry(entry) if entry else Need(kind), in_a_run=in_a_run)
    except BrokenCatalogue as broken:
        return with_remedies(ValueError(f"{said}\n{broken}"), [OPEN_PANEL])
    failed = f"{folder}/{name}".replace(os.sep, "/")
    if resolution.found and named(resolution.found) == failed:
        return with_remedies(ValueError(said), [OPEN_PANEL])
    others = [(file, why) for file, why in resolution.rejected if named(file) != failed]  # `said` is about that one
    return unresolved(replace(resolution, rejected=others), said)


def missing_file(kind: str, folder: str, name: str) -> ValueError:
    """The error for a file that is not there, outside a run: which file to use or to download instead."""
    return explained_file(ValueError(not_there(folder, name)), kind, folder, name, lasting=False, in_a_run=False)


def explained(error: ValueError, need: Need) -> ValueError:
    """The error, plus which file on this disk would do, or which one to download."""
    try:
        return unresolved(look_for(need), str(error))
    except BrokenCatalogue as broken:
        return ValueError(f"{error}\n{broken}")


def unresolved(resolution: Resolution, given: str = "") -> ValueError:
    """The error for a file that is missing, or that is another one than what was given, with what would help."""
    return with_remedies(ValueError(explain(resolution, given)), remedies(resolution))
