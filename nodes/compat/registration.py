"""Register the nodes of other packs, those of each unless that pack or another one has some of them itself.

A graph whose nodes come in part from one pack and in part from another would give pictures of neither: so all nodes of
a pack are registered or none, whichever pack ComfyUI loads first. What is installed of one says nothing of the others.
"""

import importlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args

from ..folders import prompt_server
from .node import CompatNode, Node, node_class
from .table import PACKS, Pack

MODULE = f"custom_nodes.{Path(__file__).absolute().parents[2].name}"  # as ComfyUI calls this pack


class Registration:
    """Which of the nodes of a pack are registered, and which pack has them if none is."""

    def __init__(self, pack: Pack):
        self.pack = pack
        self.classes: dict[str, type[CompatNode]] = {}
        self.yields_to = ""

    def register(self) -> None:
        """Register all nodes or none, while ComfyUI loads packs.

        ComfyUI gives an id to the pack that it loads last. Packs that come later are looked for in their folders, and,
        once all are loaded, among the ids.
        """
        found = folder_of(self.pack) or self.owner()
        if found:
            self._yield_to(found)
            return
        self.classes = {row.id: node_class(row, MODULE) for row in self.pack.rows}
        comfyui = _comfyui()
        comfyui.NODE_CLASS_MAPPINGS.update(self.classes)
        comfyui.NODE_DISPLAY_NAME_MAPPINGS.update({row.id: row.title for row in self.pack.rows})
        app = getattr(prompt_server(), "app", None)
        if app is not None and not app.on_startup.frozen:  # if it is, the server runs, and all packs are loaded
            app.on_startup.append(self.look_again)

    async def look_again(self, _: object = None) -> None:
        """Take all ids back if a pack that was loaded later has taken one of them."""
        found = self.owner()
        if found:
            self._take_back()
            self._yield_to(found)

    def owner(self) -> str:
        """The pack, or the part of ComfyUI, that has one of the ids and is not this pack; empty if there is none."""
        there = _comfyui().NODE_CLASS_MAPPINGS
        kinds = (there[row.id] for row in self.pack.rows if row.id in there)
        modules = (getattr(kind, "RELATIVE_PYTHON_MODULE", "ComfyUI itself") for kind in kinds)
        return next((module for module in modules if module != MODULE), "")  # this pack may have been loaded before

    def status(self) -> dict[str, Any]:
        """For the status route."""
        return {"registered": len(self.classes), "yields to": self.yields_to}

    def _take_back(self) -> None:
        comfyui = _comfyui()
        for id, kind in self.classes.items():
            if comfyui.NODE_CLASS_MAPPINGS.get(id) is kind:
                del comfyui.NODE_CLASS_MAPPINGS[id]
                comfyui.NODE_DISPLAY_NAME_MAPPINGS.pop(id, None)
        self.classes = {}

    def _yield_to(self, name: str) -> None:
        self.yields_to = name
        logging.getLogger(__name__).warning(
            "Image Prompt registers no node of %s, because %s has such nodes. To use those of Image Prompt, disable "
            "that pack and restart ComfyUI.",
            self.pack.name,
            name,
        )


REGISTRATIONS = tuple(map(Registration, PACKS))


def register_compat_nodes() -> None:
    for each in REGISTRATIONS:
        each.register()


def compat_rows() -> Mapping[str, Node]:
    """The rows of the registered nodes, by id; without those of packs that have their nodes themselves."""
    return {id: kind.row for each in REGISTRATIONS for id, kind in each.classes.items()}


def counts() -> str:
    """How many nodes of each pack are registered, for the log."""
    return ", ".join(f"{len(each.classes)} of {each.pack.name}" for each in REGISTRATIONS)


def folder_of(pack: Pack) -> str:
    """The folder of another pack, if ComfyUI loads it, as `custom_nodes/name`; otherwise empty."""
    return next((f"custom_nodes/{folder.name}" for folder in _folders() if _holds(folder, pack)), "")


def _folders() -> Iterator[Path]:
    """The folders that ComfyUI loads as packs."""
    for place in folder_paths.get_folder_paths("custom_nodes"):
        for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
            is_off = args.disable_all_custom_nodes and name not in args.whitelist_custom_nodes
            if not is_off and not name.endswith(".disabled"):
                yield Path(place, name)


def _holds(folder: Path, pack: Pack) -> bool:
    project = re.compile(rf"""^\s*name\s*=\s*["']{pack.project}["']""", re.IGNORECASE | re.MULTILINE)
    try:
        return (folder / pack.file).is_file() or bool(project.search((folder / "pyproject.toml").read_text("utf-8")))
    except (OSError, ValueError):  # no project file, or one that cannot be read
        return False


def _comfyui() -> Any:
    """ComfyUI's own module `nodes`, which has the ids of all packs."""
    return importlib.import_module("nodes")
