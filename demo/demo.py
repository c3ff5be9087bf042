"""The demo: the columns of one contact sheet, sampled by ComfyUI. Standard library only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from devtools.comfyui import Server, Waiting
from devtools.stages import DEV, ROOT, Progress, StageError

from .columns import COLUMNS, STEPS, workflow

OUTPUT = DEV / "demo"
SHEET = "sheet.jpg"
NOTICE = """This is a toy world: small models, trained on 64x64 drawings of coloured shapes. The references combine
shape, colour and texture as no training picture did. The shares say how often a picture has what its reference, or
else the text, asks for; demo/README.md has those of 64 references."""


def run_demo(server: Server, python: str | Path) -> None:
    draw_references(server, python)
    starting = Progress("start ComfyUI", server.log)
    server.wait_until_ready(starting)
    starting.done()
    sampling = Progress(f"sample {len(COLUMNS)} batches, {STEPS} steps each", server.log)
    for name, picture in sample(server, sampling):
        (OUTPUT / name).write_bytes(picture)
    sampling.done()
    table = sheet("measure the pictures", python, "sheet", OUTPUT, OUTPUT / SHEET)
    print(f"\n{table}\n{NOTICE}\n\nsheet: {OUTPUT / SHEET}", flush=True)


def draw_references(server: Server, python: str | Path) -> None:
    """Draw the references where ComfyUI's LoadImage looks for them."""
    sheet("draw the references", python, "references", server.base / "input")


def sample(server: Server, waiting: Waiting = lambda: None) -> Iterator[tuple[str, bytes]]:
    """Sample every column; return (file name, PNG) of its pictures."""
    queued = {column: server.queue(workflow(column)) for column in COLUMNS}
    for column, prompt_id in queued.items():
        for row, picture in enumerate(server.pictures(server.wait(prompt_id, waiting)), 1):
            yield f"{column.name}-{row}.png", picture


def sheet(stage: str, python: str | Path, *arguments: str | Path) -> str:
    """Run sheet.py, which needs the installed packages, and return what it prints."""
    progress = Progress(stage)
    command = [python, "-m", "demo.sheet", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise StageError(stage, done.stderr[-2000:].strip())
    progress.done()
    return done.stdout
