"""ComfyUI's folders and files: where models lie, how a file is read, and who shares what was loaded."""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import comfy.utils
import folder_paths

from ..model_files import read_header
from ..model_files.listing import Listing
from .activity import count, timed

ADAPTERS = "ipadapter"
ENCODERS = "clip_vision"

Loaded = TypeVar("Loaded")
_loaded: weakref.WeakValueDictionary[tuple[Hashable, ...], Any] = weakref.WeakValueDictionary()
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


def shared(folder: str, name: str, options: Hashable, build: Callable[[str], Loaded]) -> Loaded:
    """`build(path)`, or what an earlier call built of the same file and options, while somebody still holds it."""
    path = folder_paths.get_full_path_or_raise(folder, name)
    status = os.stat(path)
    key = (folder, os.path.realpath(path), status.st_mtime_ns, status.st_size, options)
    loaded = _loaded.get(key)
    if loaded is None:
        with timed(f"load {folder}"):
            loaded = build(path)
        with _changing:
            _loaded[key] = loaded
    else:
        count(f"shared {folder}")
    return loaded


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


def read_tensors(path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(state dict, safetensors metadata) of a model file. A pickle is read as data: code in it never runs.

    Raises:
        ValueError: the file is not a model file, is cut short, or is a pickle or archive that holds more than tensors.
    """
    read_header(path)  # says of what is no model file what it is
    name = os.path.basename(path)
    try:
        tensors, metadata = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # safetensors and torch raise a dozen types for a broken file
        raise ValueError(
            f"{name} could not be read as a model file: {_first_line(error)}. It is damaged, cut short "
            f"({os.path.getsize(path):,} bytes are here), or has the wrong extension. Get the file again."
        ) from error
    if not isinstance(tensors, dict):
        raise ValueError(f"{name} holds a {type(tensors).__name__}, not a table of tensors: it is not a model file.")
    return tensors, metadata or {}


def _first_line(error: Exception) -> str:
    lines = str(error).partition("In PyTorch 2.6")[0].strip().splitlines()  # there torch's advice to run it begins
    return lines[0].rstrip(".") if lines else type(error).__name__
