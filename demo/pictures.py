"""The pictures of the README and of the help pages: graphs of the demo world, run in a browser.

    python dev.py pictures [NAMES]

A name is that of a node, such as ImagePromptEncode, or one of README's. What is made here can be made again by anybody:
the models are those of the demo, and small ones with random weights where a node needs others.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from devtools.browser import drive
from devtools.comfyui import Server
from devtools.stages import DEV, ROOT, log_file

from .columns import reference
from .fill import file_name, fill
from .graphs import ADDED, GRAPHS, VISION_LANGUAGE, WIDE, Graph
from .playground import prepare
from .sheet import references

SCRIPT = ROOT / "demo" / "pictures.mjs"
TAKEN = DEV / "pictures"
HELP, README = ROOT / "js" / "docs", ROOT / "assets"
SECONDS = 1200
QUALITY = 88


def main(names: Sequence[str]) -> None:
    chosen = {name: graph for name, graph in GRAPHS.items() if not names or name in names}
    if unknown := set(names) - set(GRAPHS):
        sys.exit(f"There is no picture {', '.join(sorted(unknown))}. There are: {', '.join(GRAPHS)}.")
    base = prepare_world(DEV / "pictures" / "comfyui")
    comfyui = Path(os.environ.get("COMFYUI_PATH") or DEV / "comfyui")
    arguments = ["--cpu", "--database-url", "sqlite:///:memory:"]
    with Server(comfyui, sys.executable, base, log_file("pictures"), arguments, {"OMP_NUM_THREADS": "1"}) as server:
        server.wait_until_ready()
        server.wait(server.queue(ADDED))  # a library that knows what made its picture
        shots = {name: shot(name, graph) for name, graph in chosen.items()}
        failed = drive(SCRIPT, {"url": server.url, "nodes2": False, "locale": "en", "shots": shots}, SECONDS)
    for name in chosen:
        if name not in failed:
            convert(name)
    if failed:
        sys.exit("\n".join(f"{name}: {why}" for name, why in failed.items()))


def prepare_world(base: Path) -> Path:
    """A base for ComfyUI to play with, and the references under the names that the graphs have for them."""
    shutil.rmtree(base, ignore_errors=True)
    fill(prepare(base))
    for row, scene in enumerate(references()):
        shutil.copy(base / "input" / file_name(scene), base / "input" / reference(row))
    draw_wide(base / "input")
    listed = base / "models" / "text_encoders" / VISION_LANGUAGE  # a file of gigabytes, whose loader is not run
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.touch()
    return base


def draw_wide(folder: Path) -> None:
    """A reference at the left end of a picture twice as wide, on its own background."""
    with Image.open(folder / reference(3)) as drawing:
        wide = Image.new("RGB", (2 * drawing.width, drawing.height), drawing.convert("RGB").getpixel((0, 0)))
        wide.paste(drawing, (0, 0))
    wide.save(folder / WIDE)


def shot(name: str, graph: Graph) -> dict[str, object]:
    nodes = {key: {"type": each["class_type"], "inputs": each["inputs"]} for key, each in graph.nodes.items()}
    path = str(TAKEN / f"{name}.png")
    return {"nodes": nodes, "around": graph.around, "path": path, "runs": graph.runs, "panel": graph.panel}


def convert(name: str) -> None:
    """Put a picture where it is shown, as JPEG."""
    place = README / f"{name}.jpg" if name[0].islower() else HELP / name / "node.jpg"
    place.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(TAKEN / f"{name}.png") as taken:
        taken.convert("RGB").save(place, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
