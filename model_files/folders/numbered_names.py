"""Number the files that are saved under one name, so that none is overwritten, as ComfyUI numbers saved pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from ...tensor_files.whole_files import UNFINISHED, remove_left_over
from .scan import entries

LONGEST = 120  # characters of one part: file systems allow 255 bytes, and a letter may take several
FORBIDDEN = re.compile(r'[<>:"|?*\\]')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows, in every folder


def numbered_names(folder: str, name: str, suffix: str) -> Iterator[str]:
    """NAME_00001_.suffix and those after it, below the folder, from the first number that no file there has.

    What killed processes have left of such files is removed.

    name: of any system's file, with "/" between sub-folders. Its suffix is left out if it has it already

    Raises:
        ValueError: the name leads out of the folder, or some system does not allow it.
    """
    *folders, last = check_name(name.removesuffix(suffix)).split("/")
    home = os.path.join(folder, *folders)
    number = re.compile(rf"{re.escape(last)}_(\d+)(_|\.)", re.IGNORECASE)
    taken = list[int]()
    for entry in entries(home):
        if not (found := number.match(entry.name)):
            continue
        if entry.name.endswith(UNFINISHED):
            with suppress(OSError):  # somebody writes it
                remove_left_over(entry.path.removesuffix(UNFINISHED))
        else:
            taken.append(int(found[1]))
    first = max(taken, default=0) + 1
    return (os.path.join(home, f"{last}_{count:05}_{suffix}") for count in range(first, first + 1_000_000))


def check_name(name: str) -> str:
    """Refuse a name that leads out of its folder, or that some system does not allow for a file."""
    for part in name.split("/"):
        if fault := _fault(part):
            raise ValueError(
                f"The name {name[:LONGEST]!r} cannot be that of a file: {fault}. Give letters and numbers, and / "
                "between sub-folders, such as cats/black cat."
            )
    return name


def _fault(part: str) -> str:
    """What is wrong with a part of a name; "" if nothing is."""
    if not part:
        return "a part of it is empty"
    if found := FORBIDDEN.search(part):
        return f"it holds {found[0]}"
    if not part.isprintable():
        return "it holds a letter that cannot be shown"
    if part.startswith("."):
        return f"{part[:LONGEST]!r} begins with a dot"
    if part.endswith((".", " ")) or part.startswith(" "):
        return f"{part[:LONGEST]!r} ends with a dot, or begins or ends with a space"
    if RESERVED.fullmatch(part):
        return f"{part[:LONGEST]!r} is a device on Windows"
    if len(part) > LONGEST:
        return f"a part of it is longer than {LONGEST} characters"
    return ""
