"""The names with which programs find the file for a need. The code is in `matching/`.

    index, catalogue = Index(ModelFolders.from_root("/opt/ComfyUI")), Catalogue.load()
    resolution = resolve(Need("adapter", purpose="plus face", base_model="SDXL"), index, catalogue)
    resolution.found.file.path if resolution.found else explain(resolution)

`image_prompt.model_files` has most of them too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .matching import HOMES, Need, Report, Resolution, Row, explain, glance, resolve, table

__all__ = ["HOMES", "Need", "Report", "Resolution", "Row", "explain", "glance", "resolve", "table"]

if not TYPE_CHECKING:  # to type checkers it would hide misspelt names

    def __getattr__(name):
        """Import `matching` when one of its names is first used: the package imports this module at once."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(".matching", __package__), name)
