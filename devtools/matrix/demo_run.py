"""Start a ComfyUI with the pack, and run the demo or see the pack refused. Standard library only."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

from ..comfyui import DEMO_NODES, PACK, Server, add_world, prepare_base
from ..sources import RELEASES, Release
from ..stages import DEV, log_file

NODE = "ImagePromptApply"
PNG = b"\x89PNG\r\n\x1a\n"
REFUSAL = re.compile(r"Image Prompt needs ComfyUI \S+ or newer, and this is \S+\. Update ComfyUI\.")

Pictures = dict[str, bytes]
Sample = Callable[[Server], Pictures]


class Wrong(Exception):
    """The pack does not work as expected on a version; the message says how."""


def start(python: Path, comfyui: Path, release: Release) -> Server:
    base = prepare_base(DEV / "matrix" / release.comfyui, PACK | DEMO_NODES)
    add_world(base)
    arguments = ["--cpu", "--database-url", "sqlite:///:memory:"]
    log = log_file(f"matrix-{release.comfyui}")
    return Server(comfyui, python, base, log, arguments, {"OMP_NUM_THREADS": "1"})


def compare(pictures: Pictures, expected: Pictures) -> str:
    """How many pictures were made. Raises `Wrong` where they are others; the first become `expected`."""
    if not expected:
        expected |= pictures
        return f"{len(pictures)} pictures"
    if other := [name for name, picture in expected.items() if drawn(picture) != drawn(pictures.get(name, b""))]:
        raise Wrong(f"other pictures than ComfyUI {RELEASES[0].comfyui}: {', '.join(other)}")
    return f"the same {len(pictures)} pictures"


def drawn(png: bytes) -> bytes:
    """The compressed pixels of a PNG, without the workflow and the fingerprints of files that ComfyUI adds."""
    found, start = b"", len(PNG)
    while png.startswith(PNG) and start < len(png):
        (size,) = struct.unpack_from(">I", png, start)
        if png[start + 4 : start + 8] == b"IDAT":
            found += png[start + 8 : start + 8 + size]
        start += 12 + size
    return found or png


def refusal(server: Server) -> str:
    """The sentence by which the pack refuses an old ComfyUI. Raises `Wrong` without it, or where there is more."""
    logged = server.log.read_text(errors="replace")
    said = REFUSAL.search(logged)
    if said is None:
        raise Wrong(f"does not say that it is too old: {server.log}")
    if f"RuntimeError: {said[0]}" in logged:
        raise Wrong(f"logs a traceback: {server.log}")
    if NODE in server.get("/object_info"):
        raise Wrong(f"offers {NODE}, although it says: {said[0]}")
    return said[0]
