"""The metadata is right, and so are the files that the registry would ship."""

import json
import os
import re
import subprocess
import sys

import pathspec
import pytest
import tomllib
from PIL import Image

from image_prompt.devtools.stages import ROOT

METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name, width, height", [("Icon", 400, 400), ("Banner", 1260, 540)])
def test_the_registry_is_told_where_its_pictures_are(name, width, height):
    """The icon is square, the banner 21:9. GitHub serves no SVG as a picture."""
    repository = METADATA["project"]["urls"]["Repository"].replace("github.com", "raw.githubusercontent.com")
    path = f"assets/{name.lower()}.png"
    assert METADATA["tool"]["comfy"][name] == f"{repository}/main/{path}"
    assert Image.open(ROOT / path).size == (width, height)


def test_comfy_node_validate_has_nothing_to_say(tmp_path):
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "comfy_cli", "--no-json", "--skip-prompt", "node", "validate"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "All validation checks passed" in said
    assert "warning" not in said.lower()


def test_registry_metadata():
    project, comfy = METADATA["project"], METADATA["tool"]["comfy"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["dependencies"] == []
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert f"ComfyUI {comfy['requires-comfyui'].removeprefix('>=')}" in README
    assert comfy["PublisherId"] and comfy["DisplayName"]
    assert "web" not in comfy  # WEB_DIRECTORY says it; both together load every script twice


SHIPPED = [
    "__init__.py",
    "__main__.py",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "clip_vision/network/model.py",
    "ip_adapter/families/family.py",
    "model_files/catalogue/catalogue.json",
    "command_line/command.py",
    "migration/rules.py",
    "nodes/loading/load.py",
    "js/docs/ImagePromptApply.md",
    "subgraphs/Image Prompt from One Reference.json",
    "js/docs/ImagePromptApply/zh.md",
    "locales/zh/nodeDefs.json",
    "example_workflows/One_reference_SD1.5.json",
    "example_workflows/One_reference_SD1.5.jpg",
    "example_workflows/api/One_reference_SD1.5.json",
]
LEFT_OUT = [
    "dev.py",
    ".ci/run",
    ".github/workflows/ci.yml",
    "tests/conftest.py",
    "tests/nodes/tiny.py",
    "demo/nodes/unet.py",
    "devtools/stages.py",
    "benchmarks/a.py",
    "assets/graph.jpg",
    "demo/models/vae/demo_world.safetensors",
    "tsconfig.json",
    "assets/icon.png",
]


def test_the_registry_gets_what_users_need():
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".comfyignore").read_text().splitlines())
    assert [name for name in SHIPPED if not (ROOT / name).is_file()] == []
    assert [name for name in SHIPPED if ignored.match_file(name)] == []
    assert [name for name in LEFT_OUT if not ignored.match_file(name)] == []


def test_the_readme_counts_the_published_files():
    entries = json.loads((ROOT / "model_files" / "catalogue" / "catalogue.json").read_text(encoding="utf-8"))["entries"]
    assert f"A list of {len(entries)} published files" in README
