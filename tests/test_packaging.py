"""The metadata, what `pip install .` gives, and what the registry would ship."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pathspec
import pytest
import tomllib
from PIL import Image

from image_prompt.demo import make_models
from image_prompt.demo.stages import ROOT
from image_prompt.demo.stand_ins import FILES

METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("clip_vision", "ip_adapter")

# an interpreter without ComfyUI: what is not there cannot be found by chance
WITHOUT_COMFYUI = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "server"}:
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, Absent())
"""


def python(code: str, folder: Path, path: Path) -> str:
    """Run code in another interpreter that finds only `path`, the standard library and the installed packages."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy to build in: building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "dev.py"):
        shutil.copy(ROOT / name, folder)
    for name in (*PACKAGES, "nodes", "demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory) -> Path:
    """The content of the wheel that pip builds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    done = subprocess.run([sys.executable, "-m", "pip", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("image_prompt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_two_torch_packages_and_nothing_else(installed):
    def modules(root: Path, *folders: str) -> set[str]:
        return {path.relative_to(root).as_posix() for folder in folders for path in (root / folder).rglob("*.py")}

    shipped = {name.removeprefix("image_prompt/") for name in modules(installed, ".")}
    assert shipped == modules(ROOT, *PACKAGES)


def test_the_wheel_imports_without_comfyui(installed, tmp_path):
    code = WITHOUT_COMFYUI + "import image_prompt.clip_vision, image_prompt.ip_adapter; print('imported')"
    assert python(code, tmp_path, installed) == "imported\n"


def test_the_python_lines_of_the_readme_run_without_comfyui(installed, tmp_path):
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    imports = re.findall(r"`((?:from|import) [^`]+)`", readme)
    make_models.main(tmp_path / "models")
    for published, small in FILES.items():
        (path,) = (tmp_path / "models").glob(f"*/{small}")
        shutil.copy(path, tmp_path / published)
    _, metadata = make_models.FILES["clip_vision/demo-encoder.safetensors"]  # what a small encoder says about itself
    code = code.replace("dtype=torch.float32)", f"dtype=torch.float32, metadata={metadata!r})", 1)
    Image.new("RGB", (80, 60), "teal").save(tmp_path / "photo.jpg")
    report = "\nprint(tuple(tokens.shape), len(layers))"
    assert len(code.splitlines()) == 5
    assert python("\n".join([WITHOUT_COMFYUI, *imports, code, report]), tmp_path, installed) == "(1, 16, 768) 16\n"


def test_the_root_imports_without_comfyui(tmp_path):
    code = f"""{WITHOUT_COMFYUI}
import importlib.util
spec = importlib.util.spec_from_file_location("pack", r"{ROOT / "__init__.py"}")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.WEB_DIRECTORY, callable(module.comfy_entrypoint), hasattr(module, "NODE_CLASS_MAPPINGS"))
"""
    assert python(code, tmp_path, tmp_path) == "./js True False\n"


def test_comfy_node_validate_has_nothing_to_say(tmp_path):
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "comfy_cli", "--no-json", "--skip-prompt", "node", "validate"],
        cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "All validation checks passed" in said
    assert "warning" not in said.lower()


def test_registry_metadata():
    project, comfy = METADATA["project"], METADATA["tool"]["comfy"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["dependencies"] == []
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert f"ComfyUI {comfy['requires-comfyui'].removeprefix('>=')}" in (ROOT / "README.md").read_text()
    assert comfy["PublisherId"] and comfy["DisplayName"]
    assert "web" not in comfy  # WEB_DIRECTORY says it; both together load every script twice


SHIPPED = [
    "__init__.py", "LICENSE", "README.md", "pyproject.toml", "clip_vision/model.py", "ip_adapter/families.py",
    "nodes/load.py", "js/docs/ImagePromptApply/en.md", "example_workflows/sd15_simple.json", "js/demo.jpg",
    "example_workflows/sd15_simple.jpg", "example_workflows/api/sd15_simple.json",
]  # fmt: skip
LEFT_OUT = [
    "dev.py", ".ci/run", "tests/conftest.py", "tests/nodes/tiny.py", "demo/nodes/unet.py", "benchmarks/a.py",
    "demo/models/vae/demo_world.safetensors",
]  # fmt: skip


def test_the_registry_gets_what_users_need():
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".comfyignore").read_text().splitlines())
    assert [name for name in SHIPPED if not (ROOT / name).is_file()] == []
    assert [name for name in SHIPPED if ignored.match_file(name)] == []
    assert [name for name in LEFT_OUT if not ignored.match_file(name)] == []
