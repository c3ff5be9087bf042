"""Commands in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path

from image_prompt.devtools.stages import ROOT


def run(*arguments: object, pack: Path = ROOT, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(pack), *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


def user_entry(title: str) -> str:
    """A catalogue file with one adapter."""
    words = {"id": title.split()[0], "title": title, "kind": "adapter", "family": "base", "base_model": "SD1.5"}
    entry = {**words, "encoder": "", "purposes": [], "folder": "ipadapter", "files": [f"{words['id']}.safetensors"]}
    return json.dumps({"entries": [entry]})


WITHOUT_TORCH = """
import importlib.util, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "safetensors", "numpy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


START = """
root, arguments = sys.argv[1], sys.argv[2:]
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from pack.model_files.catalogue import catalogue_file
from pack.command_line import command
catalogue_file.RULES = {**catalogue_file.RULES, "url": catalogue_file.Rule("a link", catalogue_file.text())}
sys.exit(command.main(arguments))
"""


def without_torch(*arguments: object, pack: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + START, pack, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
