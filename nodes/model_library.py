"""What lies in ComfyUI's model folders, by content: one index and one catalogue for the process."""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import comfy.model_management
import folder_paths

from ..ip_adapter import IPAdapter
from ..model_files.catalogue import BrokenCatalogue, Catalogue
from ..model_files.folders import INDEX, SYSTEM_USER, ModelFolders, user_catalogues
from ..model_files.index import TYPES, Index, IndexedFile, Progress, take_over
from ..model_files.matching import (
    HOMES,
    PATIENCE,
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

Folders = tuple[tuple[str, tuple[str, ...]], ...]
_one_at_a_time = threading.Lock()
_open: dict[tuple[Folders, str], Index] = {}  # one at most


def index() -> Index:
    """The index of the folders that ComfyUI has now: extra_model_paths.yaml and other packs add some."""
    known = (type for type in TYPES if type in folder_paths.folder_names_and_paths)
    folders = tuple((type, tuple(folder_paths.get_folder_paths(type))) for type in known)
    place = folders, str(_private() / INDEX)
    with _one_at_a_time:
        if place not in _open:
            close_index()
            _open[place] = Index(ModelFolders(dict(folders)), take_over(Path(place[1])))
        return _open[place]


def close_index() -> None:
    """End what an index reads, so that one alone writes its file."""
    while _open:
        _open.popitem()[1].close()


def catalogue() -> Catalogue:
    """The pack's, changed and continued by a file of the user's."""
    return Catalogue.load(*user_catalogues(_private()))


def _private() -> Path:
    return Path(folder_paths.get_system_user_directory(SYSTEM_USER))


def encoder_need(adapter: IPAdapter) -> Need:
    return Need("encoder", encoder=adapter.encoder_name, needs_projection=adapter.feature == "image_embeds")


def companion_need(adapter: Resolution, known: Catalogue | None = None) -> Need | None:
    """The LoRA that belongs to an adapter that was found, where one does."""
    known = known or catalogue()
    alike = known.named(full_name(adapter.found)) if adapter.found else []
    entry = next((entry for entry in adapter.wanted if entry in alike), next(iter(adapter.wanted), None))
    companion = next((each for each in known.entries if entry and each.id == entry.companion), None)
    return companion and Need.for_entry(companion)


def look_for(need: Need, patience: float = PATIENCE) -> Resolution:
    return resolve(need, index(), catalogue(), patience, interruptible)


def chosen_files(choices: Iterable[Sequence[Need]], patience: float) -> list[list[IndexedFile]]:
    """For each choice the first adapter that is there, its encoder and its LoRA, as far as they are there.

    By what is known of the folders after `patience` seconds at most.
    """
    known, end = catalogue(), time.monotonic() + patience

    def look(need: Need) -> Resolution:
        return glance(need, index(), known, max(0.0, end - time.monotonic()))

    def files(needs: Sequence[Need]) -> Iterator[IndexedFile | None]:
        adapter = next((found for found in map(look, needs) if found.found), None)
        if adapter and adapter.found and adapter.found.identity:
            companion = companion_need(adapter, known)
            yield adapter.found
            yield look(Need.encoder_of(adapter.found.identity)).found
            yield look(companion).found if companion else None

    return [list(filter(None, files(needs))) for needs in choices]


def report(timeout: float | None = None) -> Report:
    """With a timeout, not to be interrupted: for those who ask from outside a workflow."""
    return table(index(), catalogue(), timeout=timeout, on_progress=interruptible if timeout is None else None)


def interruptible(_: Progress) -> None:
    """A first look into thousands of files takes its time: Cancel ends the waiting, and the look goes on."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def explained_file(error: ValueError, kind: str, name: str, lasting: bool = True) -> ValueError:
    """The error, plus which file to take or to get, when a file cannot be loaded. That file itself is never advised.

    lasting: it cannot be used as long as it stays as it is, whatever else is chosen beside it.
    """
    folder, said = HOMES[kind], str(error)
    if lasting:
        index().refuse(folder_paths.get_full_path(folder, name) or "", kind, said.removeprefix(f"{name}: "))
    try:
        entry = next((entry for entry in catalogue().named(name) if entry.kind == kind), None)
        resolution = look_for(Need.for_entry(entry) if entry else Need(kind))
    except BrokenCatalogue as broken:
        return ValueError(f"{said}\n{broken}")
    failed = f"{folder}/{name}".replace(os.sep, "/")
    if resolution.found and named(resolution.found) == failed:
        return ValueError(said)
    others = [(file, why) for file, why in resolution.rejected if named(file) != failed]  # which `said` is about
    return ValueError(explain(replace(resolution, rejected=others), said))


def explained(error: ValueError, need: Need) -> ValueError:
    """The same error, and which file would do, or which to get."""
    try:
        return ValueError(explain(look_for(need), given=str(error)))
    except BrokenCatalogue as broken:
        return ValueError(f"{error}\n{broken}")
