"""Find model files and say what they are, without ComfyUI, and without running or loading them.

    find_encoder("CLIP ViT-bigG/14")                 # the path, or a ValueError that says what to get
    find_adapter("plus face", "SDXL", "/opt/ComfyUI")

    index, catalogue = Index(ModelFolders.found()), Catalogue.load()
    resolution = resolve(Need("adapter", purpose="plus face", base_model="SDXL"), index, catalogue)
    resolution.found.file.path if resolution.found else explain(resolution)

Importing this needs no torch: what identifies files is imported when one of the names in `EXPORTS` is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..tensor_files import Header, TensorInfo, UnusableFile, read_header
from .catalogue import Catalogue
from .folders import Installation, ModelFile, ModelFolders

if TYPE_CHECKING:
    from .find import NotFound, find_adapter, find_encoder
    from .index import Index
    from .matching import Need, Resolution, explain, resolve

__all__ = [
    "Catalogue",
    "Header",
    "Index",
    "Installation",
    "ModelFile",
    "ModelFolders",
    "Need",
    "NotFound",
    "Resolution",
    "TensorInfo",
    "UnusableFile",
    "explain",
    "find_adapter",
    "find_encoder",
    "read_header",
    "resolve",
]
EXPORTS = {  # module -> its names that the package gives
    "find": ("NotFound", "find_adapter", "find_encoder"),
    "index": ("Index",),
    "matching": ("Need", "Resolution", "explain", "resolve"),
}
_HOMES = {name: module for module, names in EXPORTS.items() for name in names}

if not TYPE_CHECKING:  # to type checkers it would hide misspelt names
    from . import resolve  # now, because a module that is imported later would take the place of the function

    del resolve

    def __getattr__(name):
        """Import the module that has this name when it is first used: what identifies files needs torch."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
