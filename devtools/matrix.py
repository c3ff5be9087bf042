"""Run the demo on every supported ComfyUI, and see an older one refuse the pack. Standard library only."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from pathlib import Path

from .comfyui import DEMO_NODES, PACK, Server, ServerError, add_world, prepare_base
from .sources import RELEASES, Release, released
from .stages import DEV, StageError, log_file

NODE = "ImagePromptApply"
PNG = b"\x89PNG\r\n\x1a\n"
REFUSAL = re.compile(r"Image Prompt needs ComfyUI \S+ or newer, and this is \S+\. Update ComfyUI\.")

Pictures = dict[str, bytes]


class Wrong(Exception):
    """The pack does not work as expected on a version; the message says how."""


def run_matrix(python: Path, sample: Callable[[Server], Pictures]) -> int:
    """Print a line for each version; return 1 if the pack does not work as expected on one of them."""
    expected: Pictures = {}
    failed: list[str] = []
    for release in RELEASES:
        start = time.monotonic()
        try:
            found = f"fine, {try_release(python, release, sample, expected)}"
        except (Wrong, ServerError, StageError) as error:
            found = f"WRONG, {error}"
            failed.append(release.comfyui)
        print(f"ComfyUI {release.comfyui}: {found} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"Wrong: {', '.join(failed)}." if failed else f"All {len(RELEASES)} versions are as they should be.")
    return int(bool(failed))


def try_release(python: Path, release: Release, sample: Callable[[Server], Pictures], expected: Pictures) -> str:
    """Say what works on a release, or raise an error that says what does not. The first pictures become `expected`."""
    server = make_server(python, release)
    with server:
        server.wait_until_ready()
        if release.supported:
            return compare(sample(server), expected)
        return refusal(server)


def make_server(python: Path, release: Release) -> Server:
    comfyui = released(python, release)
    base = prepare_base(DEV / "matrix" / release.comfyui, PACK | DEMO_NODES)
    add_world(base)
    arguments = ["--cpu", "--database-url", "sqlite:///:memory:"]
    log = log_file(f"matrix-{release.comfyui}")
    return Server(comfyui, python, base, log, arguments, {"OMP_NUM_THREADS": "1"})


def compare(pictures: Pictures, expected: Pictures) -> str:
    if not expected:
        expected |= pictures
        return f"made the demo's {len(pictures)} pictures"
    if other := [name for name, picture in expected.items() if drawn(picture) != drawn(pictures.get(name, b""))]:
        raise Wrong(f"other pictures than ComfyUI {RELEASES[0].comfyui}: {', '.join(other)}")
    return f"made the same {len(pictures)} pictures"


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
    said = REFUSAL.search(server.log.read_text(errors="replace"))
    if said is None:
        raise Wrong(f"does not say that it is too old: {server.log}")
    if NODE in server.get("/object_info"):
        raise Wrong(f"offers {NODE}, although it says: {said[0]}")
    return f"says: {said[0]}"
