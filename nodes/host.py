"""ComfyUI's folders and files: where models lie, how a file is read, and who shares what was loaded."""

import hashlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import comfy.utils  # it tells torch which names in old checkpoints are safe  # noqa: F401
import folder_paths

from ..model_files.folders import Listing
from ..model_files.headers import PassingTrouble
from ..model_files.headers.weights import Weights, open_weights
from .activity import count, timed

ADAPTERS = "ipadapter"
ENCODERS = "clip_vision"

Loaded = TypeVar("Loaded")
_loaded: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()
_changing = threading.Lock()
_listed: dict[str, Listing] = {}


def register_folders() -> None:
    """Make `models/ipadapter` known. Folders that extra_model_paths.yaml named already stay, and stay first."""
    folder_paths.add_model_folder_path(ADAPTERS, os.path.join(folder_paths.models_dir, ADAPTERS))
    extensions = folder_paths.folder_names_and_paths[ADAPTERS][1]
    if not extensions:  # a folder that ComfyUI does not know lists every file
        extensions.update(folder_paths.supported_pt_extensions)
        folder_paths.filename_list_cache.pop(ADAPTERS, None)


def model_names(folder: str) -> list[str]:
    """What `folder_paths.get_filename_list` gives, also where links lead in a circle."""
    paths, extensions = folder_paths.folder_names_and_paths[folder]
    known = _listed.get(folder)
    if known is None or not known.is_current(paths, extensions):
        known = _listed[folder] = Listing.of(paths, extensions)
    return list(known.names)


def model_path(folder: str, name: str) -> str:
    """ValueError where ComfyUI's folders hold no such file."""
    path = folder_paths.get_full_path(folder, name)
    if path is None:
        raise ValueError(f"{name} is not in models/{folder}: choose a file that is there, or get it.")
    return path


@contextmanager
def read_from(name: str) -> Iterator[None]:
    """PassingTrouble for what the system says of a file."""
    try:
        yield
    except OSError as error:  # it went meanwhile, or the disk failed
        reason = error.strerror or error
        raise PassingTrouble(f"{name} could not be read: {reason}. Check the file and its disk.") from error


def shared(folder: str, name: str, options: Hashable, build: Callable[[str], Loaded]) -> Loaded:
    """`build(path)`, or what an earlier call built of the same file and options, while somebody still holds it."""
    path = model_path(folder, name)
    with read_from(name):
        key = (folder, *file_state(path), options)
    loaded = _loaded.get(key)
    if loaded is None:
        with timed(f"load {folder}"):
            loaded = build(path)
        with _changing:
            _loaded[key] = loaded
    else:
        count(f"shared {folder}")
    return loaded


def file_state(path: str) -> tuple[str, int, int]:
    """What is another where a file was replaced, changed or moved."""
    status = os.stat(path)
    return os.path.realpath(path), status.st_mtime_ns, status.st_size


def digest(state: object) -> str:
    """For fingerprints: ComfyUI writes them into the pictures that it saves, where no path of the user's belongs."""
    return hashlib.sha256(repr(state).encode()).hexdigest()


def fingerprint(folder: str, name: str | None) -> str:
    """What is another when the file of a loader is; of every file where its name comes over a link, not known yet."""
    names = model_names(folder) if name is None else [name]
    paths = (folder_paths.get_full_path(folder, each) for each in names)
    return digest([file_state(path) for path in paths if path is not None])


def all_shared() -> list[tuple[str, Any]]:
    """(folder, what was loaded from it) of everything that somebody holds."""
    with _changing:
        return [(key[0], loaded) for key, loaded in _loaded.items()]


def prompt_server() -> Any:
    """ComfyUI's HTTP server; None where nodes run without one."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def listed_name(folder: str, path: str) -> str:
    """The name under which ComfyUI lists a file, with the folders below the model folder; else the file name."""
    for root in folder_paths.get_folder_paths(folder):
        if Path(path).is_relative_to(root):
            return str(Path(path).relative_to(root))
    return os.path.basename(path)


@contextmanager
def weights_of(path: str, name: str) -> Iterator[Weights]:
    """The tensors of a model file, to be loaded within; whatever is wrong with it is a ValueError with its name."""
    with read_from(name), open_weights(path) as weights:
        try:
            yield weights
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
