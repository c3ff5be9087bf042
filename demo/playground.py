"""A ComfyUI to play with at once: the demo world and its template, and the pack's templates with stand-ins for models
that are gigabytes. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from devtools.comfyui import DEMO_NODES, PACK, Server, add_world, prepare_base
from devtools.stages import ROOT, run

from .full_clip import write_full_clip
from .stand_ins import EXAMPLES, PHOTOGRAPHS, example

TEMPLATE = "first_picture"
(DEMO,) = DEMO_NODES
STAND_INS = "image-prompt-stand-ins"
CATEGORIES = {"en": "Image Prompt with random models", "zh": "Image Prompt（随机模型）"}
SETTINGS = {  # of a first visit, which a tour would cover otherwise
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
}


def prepare(base: Path) -> Path:
    """Make a base directory with the pack, the demo's nodes, and a pack of templates that are written later."""
    prepare_base(base, PACK | DEMO_NODES)
    add_world(base)
    write_full_clip(base / "models")
    for name in PHOTOGRAPHS:
        shutil.copy(ROOT / "demo" / "images" / name, base / "input")
    pack = base / "custom_nodes" / STAND_INS
    shutil.rmtree(pack, ignore_errors=True)
    write(pack / "__init__.py", "NODE_CLASS_MAPPINGS = {}\n")
    for language, category in CATEGORIES.items():
        words = {"templateWorkflows": {"category": {STAND_INS: category}}}
        write(pack / "locales" / language / "main.json", json.dumps(words))
    (pack / "example_workflows").mkdir()
    for picture in EXAMPLES.glob("*.jpg"):
        shutil.copy(picture, pack / "example_workflows")
    settings = base / "user" / "default" / "comfy.settings.json"
    if not settings.exists():
        write(settings, json.dumps(SETTINGS))
    return base


def fill_once(base: Path, python: str | Path) -> None:
    """Write the models and the pictures, unless they are there as the files of the demo make them."""
    digest, done = hashlib.sha256(), base / "filled"
    for file in sorted([*(ROOT / "demo").rglob("*.py"), *(ROOT / "devtools").glob("*.py")]):
        digest.update(file.read_bytes())
    if done.is_file() and done.read_text() == digest.hexdigest():
        return
    done.unlink(missing_ok=True)
    run("models and pictures", [python, "-m", "demo.fill", base])
    done.write_text(digest.hexdigest())


def write_templates(server: Server, **changes: int) -> dict[str, dict]:
    """Write the pack's templates with stand-ins, for a server that runs. {name: workflow in UI format}"""
    object_info = server.get("/object_info")
    templates = {path.stem: example(path.stem, object_info, **changes) for path in sorted(EXAMPLES.glob("*.json"))}
    for name, workflow in templates.items():
        file = server.base / "custom_nodes" / STAND_INS / "example_workflows" / f"{name}.json"
        write(file, json.dumps(workflow))
    return templates


def start(server: Server) -> str:
    """Write the templates, and say where the demo opens."""
    write_templates(server)
    return address(server)


def address(server: Server, template: str = TEMPLATE, source: str = DEMO) -> str:
    return f"{server.url}/?template={template}&source={source}"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
