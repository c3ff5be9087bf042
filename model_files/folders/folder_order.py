"""List the folders of an installation in the order in which its programs add them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from .extra_paths import Addition, read_extra_paths
from .layouts import Folders, Layout
from .model_types import MODEL_TYPES, SAVED


def installed(root: str, layout: Layout) -> Iterator[Addition]:
    """The folders for models of an installation. ValueError if an extra_model_paths.yaml in it cannot be read."""
    own = list(_listed(root, layout.folders))
    extra = _extra(os.path.join(root, layout.config)) if layout.config else []
    if layout.first:
        yield from own
    for home in [*layout.comfyuis(root), *_bases(extra)]:
        yield from _comfyui(home, extra)
    yield from own
    yield from extra


def _comfyui(home: str, extra: Iterable[Addition]) -> Iterator[Addition]:
    """The folders that a ComfyUI adds when it starts, in its order.

    First come its own types, then extra_model_paths.yaml and files like it, then the folders into which it saves, and
    last the types that node packs add.
    """
    models = os.path.join(home, "models")
    yield from _listed(models, {name: row.folders for name, row in MODEL_TYPES.items() if row.core})
    yield from _extra(os.path.join(home, "extra_model_paths.yaml"))
    yield from extra
    yield from _listed(os.path.join(home, "output"), {name: (name,) for name in SAVED})
    yield from _listed(models, {name: row.folders for name, row in MODEL_TYPES.items() if not row.core})


def _bases(extra: Iterable[Addition]) -> list[str]:
    """The folders that ComfyUI Desktop passes as --base-directory: they contain the folder of its downloads."""
    return [os.path.dirname(path) for name, path, _ in extra if name == "download_model_base"]


def _extra(file: str) -> list[Addition]:
    return read_extra_paths(file) if os.path.isfile(file) else []


def _listed(root: str, folders: Folders) -> Iterator[Addition]:
    return (Addition(name, os.path.join(root, path)) for name, paths in folders.items() for path in paths)
