"""The pictures of the example workflows in ComfyUI's list of templates, sampled in the demo world.

python dev.py demo                  once: it makes the environment, and draws the references
.dev/venv/bin/python -m demo.cards  writes example_workflows/*.jpg, the same ones each time
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from devtools.comfyui import DEMO_NODES, PACK, Server, add_world, prepare_base
from devtools.stages import DEV, ROOT, log_file

from .columns import COLUMNS, Workflow, reference, workflow

CARDS = {"sd15_simple": (3,), "sdxl_two_references": (0, 3)}  # the rows whose references steer it, all of them together
SHOWN = 3  # of the batch, the picture with the noise of the last row
ALONE = next(column for column in COLUMNS if column.name == "weight-10")

SIDE, REFERENCE, RESULT, EDGE = 512, 150, 240, 28
GROUND, INK, PALE = (32, 33, 36), (225, 225, 225), (150, 150, 150)


def together(rows: Sequence[int]) -> Workflow:
    """The demo's workflow, with all these references for each picture."""
    nodes = workflow(ALONE)
    batch = {f"images.image{place}": [f"reference {row}", 0] for place, row in enumerate(rows)}
    nodes["features images"]["inputs"] = batch
    nodes["apply 0"]["inputs"] |= {"batch": "together"}
    return nodes


def card(references: Sequence[Image.Image], result: Image.Image) -> Image.Image:
    """References on the left, an arrow, what was sampled on the right."""
    image = Image.new("RGB", (SIDE, SIDE), GROUND)
    pen = ImageDraw.Draw(image)
    step = REFERENCE + EDGE
    top = (SIDE - step * len(references) + EDGE) // 2
    for place, picture in enumerate(references):
        image.paste(enlarged(picture, REFERENCE), (EDGE, top + place * step))
    start, end = EDGE + REFERENCE + 14, SIDE - EDGE - RESULT - 14
    middle = SIDE // 2
    pen.line([(start, middle), (end, middle)], fill=INK, width=5)
    pen.line([(end - 14, middle - 14), (end, middle), (end - 14, middle + 14)], fill=INK, width=5, joint="curve")
    image.paste(enlarged(result, RESULT), (SIDE - EDGE - RESULT, (SIDE - RESULT) // 2))
    pen.text((EDGE, top - 12), "reference" + "s" * (len(references) > 1), INK, ImageFont.load_default(24), "ls")
    pen.text((SIDE - EDGE - RESULT, (SIDE - RESULT) // 2 - 12), "result", INK, ImageFont.load_default(24), "ls")
    pen.text((SIDE // 2, SIDE - 16), "drawn by the toy models of the demo", PALE, ImageFont.load_default(18), "ms")
    return image


def enlarged(picture: Image.Image, side: int) -> Image.Image:
    return picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def main() -> None:
    base = prepare_base(DEV / "demo", PACK | DEMO_NODES)
    add_world(base)
    comfyui = Path(os.environ.get("COMFYUI_PATH") or DEV / "comfyui")
    arguments = ["--cpu", "--database-url", "sqlite:///:memory:"]
    with Server(comfyui, sys.executable, base, log_file("cards"), arguments, {"OMP_NUM_THREADS": "1"}) as server:
        server.wait_until_ready()
        queued = {name: server.queue(together(rows)) for name, rows in CARDS.items()}
        for name, prompt_id in queued.items():
            result = Image.open(io.BytesIO(server.pictures(server.wait(prompt_id))[SHOWN]))
            references = [Image.open(base / "input" / reference(row)) for row in CARDS[name]]
            card(references, result).save(ROOT / "example_workflows" / f"{name}.jpg", quality=90)


if __name__ == "__main__":
    main()
