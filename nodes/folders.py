"""ComfyUI's folders and files: list and find model files, read them, and share what was loaded from them."""

import hashlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import comfy.utils  # tells torch which names in old checkpoints are safe  # noqa: F401
import folder_paths
from comfy.model_patcher import ModelPatcher

from ..model_files.folders import ADAPTER_TYPES, MODEL_TYPES, Listing
from ..service import log_load
from ..tensor_files import read_from
from .activity import count, timed

ADAPTER_FOLDER, *MORE_ADAPTERS = ADAPTER_TYPES  # ours, and those in which other packs keep adapters
ENCODER_FOLDER = "clip_vision"
FEATURES_FOLDER = "image_prompts"
LORA_FOLDER = "loras"
FACE_FOLDER = "insightface"
OWN_FOLDERS = {  # which ComfyUI does not know -> the extensions of the files in them
    **dict.fromkeys(ADAPTER_TYPES, folder_paths.supported_pt_extensions),
    FEATURES_FOLDER: MODEL_TYPES[FEATURES_FOLDER].extensions,
    FACE_FOLDER: MODEL_TYPES[FACE_FOLDER].extensions,
}


class Managed(Protocol):
    """What is loaded from a file: its module is in a patcher, so that ComfyUI manages its memory."""

    patcher: ModelPatcher

    @property
    def kind(self) -> str: ...  # which encoder, or which family of adapters


Loaded = TypeVar("Loaded", bound=Managed)
_loaded: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()
_changing = threading.Lock()
_listed: dict[str, Listing] = {}


def register_folders() -> None:
    """Register the folders of this pack. Those that extra_model_paths.yaml has registered stay, and stay first."""
    for folder, allowed in OWN_FOLDERS.items():
        for below in MODEL_TYPES[folder].folders:
            folder_paths.add_model_folder_path(folder, os.path.join(folder_paths.models_dir, below))
        extensions = folder_paths.folder_names_and_paths[folder][1]
        if not extensions:  # ComfyUI lists every file of a folder type that it does not know
            extensions.update(allowed)
            folder_paths.filename_list_cache.pop(folder, None)


def model_names(folder: str) -> list[str]:
    """The names that `folder_paths.get_filename_list` gives, found even if links lead in a circle."""
    return names_below(*folder_paths.folder_names_and_paths[folder], kind=folder)


def adapter_names() -> list[str]:
    """The adapters in models/ipadapter, then those in folders of other packs, each after the type of its folder."""
    more = [f"{folder}/{name}" for folder in MORE_ADAPTERS for name in model_names(folder)]
    return list(dict.fromkeys([*model_names(ADAPTER_FOLDER), *more]))


def adapter_place(name: str) -> tuple[str, str]:
    """(folder, name in it) of an adapter that is named as `adapter_names` does. What is in models/ipadapter counts."""
    folder, _, inside = name.partition("/")
    elsewhere = folder in MORE_ADAPTERS and folder_paths.get_full_path(ADAPTER_FOLDER, name) is None
    return (folder, inside) if elsewhere else (ADAPTER_FOLDER, name)


def names_below(folders: Sequence[str], extensions: Collection[str], kind: str) -> list[str]:
    """The files below folders, which are listed again only if a folder has changed.

    kind: of the folders, by which the list is found again
    """
    known = _listed.get(kind)
    if known is None or not known.is_current(folders, extensions):
        known = _listed[kind] = Listing.of(folders, extensions)
    return list(known.names)


def model_path(folder: str, name: str) -> str:
    """The path of a file in ComfyUI's folders. Raises a ValueError if it is not there."""
    path = folder_paths.get_full_path(folder, name)
    if path is None:
        raise ValueError(not_there(folder, name))
    return path


def not_there(folder: str, name: str) -> str:
    return f"{name} is not in models/{folder}: choose a file that is there, or get it."


def shared(folder: str, name: str, options: Hashable, build: Callable[[str], Loaded]) -> Loaded:
    """`build(path)`, or the result of an earlier call for the same file and options, if it is still in use.

    Raises:
        ValueError: the file is not there, or `build` refuses it.
        PassingTrouble: the file cannot be read at the moment.
    """
    path = model_path(folder, name)
    with read_from(name):
        key = (folder, *file_state(path), options)
    loaded = _loaded.get(key)
    if loaded is None:
        begin = time.perf_counter()
        with timed(f"load {folder}"):
            loaded = build(path)
        seconds, dtype = time.perf_counter() - begin, next(loaded.patcher.model.parameters()).dtype
        log_load(name, loaded.kind, dtype, loaded.patcher.load_device, seconds)
        with _changing:
            _loaded[key] = loaded
    else:
        count(f"shared {folder}")
    return loaded


def file_state(path: str) -> tuple[str, int, int]:
    """A value that differs once a file was replaced, changed or moved."""
    status = os.stat(path)
    return os.path.realpath(path), status.st_mtime_ns, status.st_size


def digest(state: object) -> str:
    """A hash of a state, for fingerprints: ComfyUI writes these into saved pictures, which must show no user's path."""
    return hashlib.sha256(repr(state).encode()).hexdigest()


def fingerprint(folder: str, name: str | None) -> str:
    """A value that differs once the file of a loader does. If its name is linked (None), it covers all files."""
    return _fingerprint((folder, each) for each in (model_names(folder) if name is None else [name]))


def adapter_fingerprint(name: str | None) -> str:
    """As `fingerprint`, for an adapter that is named as `adapter_names` does."""
    return _fingerprint(map(adapter_place, adapter_names() if name is None else [name]))


def _fingerprint(places: Iterable[tuple[str, str]]) -> str:
    paths = (folder_paths.get_full_path(*place) for place in places)
    return digest([file_state(path) for path in paths if path is not None])


def all_shared() -> list[tuple[str, Any]]:
    """Everything that was loaded and is still in use, as (folder, what was loaded from it)."""
    with _changing:
        return [(key[0], loaded) for key, loaded in _loaded.items()]


def prompt_server() -> Any:
    """ComfyUI's HTTP server, or None if nodes run without one."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def listed_name(folder: str, path: str) -> str:
    """The name under which ComfyUI lists a file, with subfolders; the bare file name if ComfyUI does not list it."""
    for root in folder_paths.get_folder_paths(folder):
        if Path(path).is_relative_to(root):
            return str(Path(path).relative_to(root))
    return os.path.basename(path)
