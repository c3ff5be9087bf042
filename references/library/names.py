"""The names of libraries, and the folder that holds them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...tensor_files import printable
from .about import ABOUT

FOLDERS = ("image-prompt", "libraries")  # below ComfyUI's user folder
LONGEST = 100  # characters
FORBIDDEN = re.compile(r'[<>:"/\\|?*]')  # by some file system, or part of a path
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows, for devices
WANTED = "A name is 1 to 100 letters, digits, spaces, - or _, such as holiday-2026."


def libraries_folder(user_folder: Path) -> Path:
    """Where the libraries of a ComfyUI are. It need not exist."""
    return Path(user_folder).joinpath(*FOLDERS)


def library_names(folder: Path) -> list[str]:
    """The names of the libraries in a folder, sorted; none if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not problem(entry.name)]
    except OSError:
        return []
    return sorted(name for name in names if (Path(folder) / name / ABOUT).is_file())


def check_name(name: str) -> str:
    """The name itself. ValueError if it could lead elsewhere, or if some system could not keep it."""
    if why := problem(name):
        raise ValueError(f"{printable(name, LONGEST)!r} cannot be the name of a library: it {why}. {WANTED}")
    return name


def problem(name: str) -> str:
    """What is wrong with the name of a library; an empty text if it can be used."""
    if not name or len(name) > LONGEST:
        return "is empty" if not name else f"has more than {LONGEST} characters"
    if FORBIDDEN.search(name):
        return "holds a character of paths"
    if not name.isprintable() or len(name.encode(errors="replace")) > 240:
        return "holds characters that cannot be shown, or too many"
    if name[0] in ". " or name[-1] in ". ":
        return "begins or ends with a dot or a space"
    return "is a reserved name of Windows" if RESERVED.fullmatch(name) else ""
