"""The demo: one workflow, twice, without and with the reference picture. Standard library only."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .comfyui import Server
from .stages import DEV, ROOT, Progress, StageError
from .stand_ins import with_stand_ins

WORKFLOW = ROOT / "example_workflows" / "api" / "sd15_simple.json"
IMAGES = ROOT / "demo" / "images"
OUTPUT = DEV / "demo"
NOTICE = """The diffusion model, the adapter and the encoder are small, random and seeded (the real ones are gigabytes).
The picture shows that the reference acts; it means nothing yet."""


def run_demo(server: Server, python: Path) -> None:
    shutil.copytree(IMAGES, server.base / "input", dirs_exist_ok=True)
    workflow = with_stand_ins(json.loads(WORKFLOW.read_text()))
    starting = Progress("start ComfyUI", server.log)
    server.wait_until_ready(starting)
    starting.done()
    without, _, _ = queue(server, "without the reference", with_weight(workflow, 0.0), OUTPUT / "without.png")
    picture, entry, seconds = queue(server, "with the reference", workflow, OUTPUT / "demo.png")
    comparison = OUTPUT / "comparison.jpg"
    reference = IMAGES / value(workflow, "LoadImage", "image")
    compared = subprocess.run(
        [python, ROOT / "demo" / "compare.py", comparison, reference, without, picture],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if compared.returncode:
        raise StageError("compare the pictures", compared.stderr[-2000:].strip())
    cached = {node for kind, details in entry["status"]["messages"] if kind == "execution_cached"
              for node in details["nodes"]}
    report = {
        "workflow": WORKFLOW.relative_to(ROOT).as_posix(),
        "reference": reference.name,
        "encoder": value(workflow, "ImagePromptLoadEncoder", "encoder_name"),
        "adapter": value(workflow, "ImagePromptLoadAdapter", "adapter_name"),
        "nodes": f"{len(workflow)}, {len(cached)} of them cached from the first run",
        "seconds": f"{seconds:.1f}",
        "picture": png_size(picture),
        "changed by the reference": compared.stdout.strip(),
    }
    print_table(report)
    print(f"\n{NOTICE}\n\npicture:    {picture}\ncomparison: {comparison}", flush=True)


def queue(server: Server, name: str, workflow: dict, target: Path) -> tuple[Path, dict, float]:
    progress = Progress(name, server.log)
    entry = server.wait(server.queue(workflow), progress)
    target.write_bytes(server.pictures(entry)[0])
    progress.done()
    return target, entry, progress.seconds


def with_weight(workflow: dict, weight: float) -> dict:
    return {
        key: {**node, "inputs": {**node["inputs"], "weight": weight}} if "weight" in node["inputs"] else node
        for key, node in workflow.items()
    }


def value(workflow: dict, class_type: str, name: str) -> str:
    return next(node["inputs"][name] for node in workflow.values() if node["class_type"] == class_type)


def png_size(path: Path) -> str:
    """From the PNG header."""
    header = path.read_bytes()[:24]
    width, height = int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")
    return f"{width} x {height}"


def print_table(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows))
    print()
    for name, text in rows.items():
        print(f"  {name:<{width}}  {text}")
