"""The places where a ComfyUI is searched for when no path is given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

BESIDE = ("", "ComfyUI", "ComfyUI_windows_portable", "SwarmUI", "StabilityMatrix")  # in each place

HOME = (  # below the home folder
    "",
    "comfy",
    "Documents",
    "Documents/comfy",  # comfy-cli and ComfyUI Desktop install there
    "AppData/Roaming",
    "Library/Application Support",
    ".config",  # ComfyUI Desktop's settings, StabilityMatrix
    ".local/share/krita/ai_diffusion/server",
    "AppData/Roaming/krita/ai_diffusion/server",
    "Library/Application Support/krita/ai_diffusion/server",
    "Downloads",
    "Desktop",
)
CUSTOM_NODES = 3  # folders above this one: folders, model_files, the pack
ROOT = ("", "workspace", "opt")  # below the root of the disk, where containers have it


def usual_places() -> list[str]:
    """The folders above this pack and the working directory, then those below the home folder and the disk's root.

    The pack comes first if a ComfyUI holds it: where pip installs it says nothing about the user's files.
    """
    home, disk = os.path.expanduser("~"), os.path.abspath(os.sep)
    pack, here = list(Path(__file__).resolve().parents), _working_directory()
    above = [*pack, *here] if pack[CUSTOM_NODES].name == "custom_nodes" else [*here, *pack]
    listed = [*(os.path.join(home, name) for name in HOME), *(os.path.join(disk, name) for name in ROOT)]
    return list(dict.fromkeys(os.path.normpath(place) for place in [*above, *listed]))


def candidates(places: Iterable[str]) -> Iterator[str]:
    for place in places:
        for name in BESIDE:
            yield os.path.join(place, name)


def _working_directory() -> list[Path]:
    try:
        here = Path.cwd()
    except OSError:  # it was deleted
        return []
    return [here, *here.parents]
