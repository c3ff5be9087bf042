"""The metadata is right, and so are the files that `pip install .` gives and that the registry would ship."""

import json
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
from image_prompt.demo.stand_ins import FILES
from image_prompt.devtools.stages import ROOT

METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("tensor_files", "clip_vision", "ip_adapter", "model_files", "service")

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
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy to build in: building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "__main__.py", "dev.py"):
        shutil.copy(ROOT / name, folder)
    for name in (*PACKAGES, "standalone", "nodes", "demo"):
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


def test_the_wheel_holds_the_packages_the_catalogue_and_the_command_line_and_nothing_else(installed):
    def files(root: Path, *folders: str) -> set[str]:
        found = (path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".py", ".json"))
        return {path.relative_to(root).as_posix() for path in found}

    shipped = {name.removeprefix("image_prompt/") for name in files(installed, ".")}
    assert shipped == files(ROOT, *PACKAGES) | {"__main__.py"}
    assert "model_files/catalogue/catalogue.json" in shipped
    command = (installed / "image_prompt" / "__main__.py").read_text()
    assert command == (ROOT / "standalone" / "__main__.py").read_text()  # the root's would look for the root


def test_the_wheel_imports_without_comfyui(installed, tmp_path):
    names = ", ".join(f"image_prompt.{name}" for name in PACKAGES)
    code = f"{WITHOUT_COMFYUI}\nimport {names}; print('imported')"
    assert python(code, tmp_path, installed) == "imported\n"


def test_the_command_line_of_the_wheel_runs_without_comfyui(installed, tmp_path):
    adapters = tmp_path / "models" / "ipadapter"
    adapters.mkdir(parents=True)
    (adapters / "ip-adapter_sd15.safetensors").touch()
    (tmp_path / "models" / "loras").mkdir()

    def tell(command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "image_prompt", command, "--json", "--models", "models"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    assert tell("paths")["counts"]["unusable"] == 1
    assert tell("status")["versions"]["image-prompt"] == METADATA["project"]["version"]
    assert "ip-adapter_sd15" in {entry["id"] for entry in tell("catalogue")}


README = (ROOT / "README.md").read_text()
ENCODING, FINDING = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
IMPORTS = [line.replace("\n", " ") for line in re.findall(r"`((?:from|import) [^`]+)`", README)]


def test_the_python_lines_of_the_readme_run_without_comfyui(installed, tmp_path):
    code = ENCODING
    make_models.main(tmp_path / "models")
    for published, small in FILES.items():
        (path,) = (tmp_path / "models").glob(f"*/{small}")
        shutil.copy(path, tmp_path / published)
    _, metadata = make_models.FILES["clip_vision/demo-encoder.safetensors"]  # what a small encoder says about itself
    code = code.replace("dtype=torch.float32)", f"dtype=torch.float32, metadata={metadata!r})", 1)
    Image.new("RGB", (80, 60), "teal").save(tmp_path / "photo.jpg")
    report = "\nprint(tuple(tokens.shape), len(layers))"
    assert len(code.splitlines()) == 5
    assert python("\n".join([WITHOUT_COMFYUI, *IMPORTS, code, report]), tmp_path, installed) == "(1, 16, 768) 16\n"


def test_the_lines_of_the_readme_about_files_run_without_comfyui(installed, tmp_path):
    (tmp_path / "models" / "ipadapter").mkdir(parents=True)
    code = FINDING.replace("/opt/ComfyUI", str(tmp_path / "models"))
    assert len(code.splitlines()) == 4 and code != FINDING
    said = python("\n".join([WITHOUT_COMFYUI, *IMPORTS, code]), tmp_path, installed)
    assert said.startswith("Not found: IP-Adapter for SDXL of the kind 'plus'. Looked in models/ipadapter.\nGet ")


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
    assert f"ComfyUI {comfy['requires-comfyui'].removeprefix('>=')}" in (ROOT / "README.md").read_text()
    assert comfy["PublisherId"] and comfy["DisplayName"]
    assert "web" not in comfy  # WEB_DIRECTORY says it; both together load every script twice


SHIPPED = [
    "__init__.py",
    "__main__.py",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "clip_vision/model.py",
    "ip_adapter/families/family.py",
    "model_files/catalogue/catalogue.json",
    "model_files/cli/command.py",
    "nodes/load.py",
    "js/docs/ImagePromptApply.md",
    "example_workflows/sd15_simple.json",
    "js/demo.jpg",
    "js/report.png",
    "example_workflows/sd15_simple.jpg",
    "example_workflows/api/sd15_simple.json",
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
    "demo/models/vae/demo_world.safetensors",
]


def test_the_registry_gets_what_users_need():
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".comfyignore").read_text().splitlines())
    assert [name for name in SHIPPED if not (ROOT / name).is_file()] == []
    assert [name for name in SHIPPED if ignored.match_file(name)] == []
    assert [name for name in LEFT_OUT if not ignored.match_file(name)] == []


def test_the_readme_counts_the_published_files():
    entries = json.loads((ROOT / "model_files" / "catalogue" / "catalogue.json").read_text(encoding="utf-8"))["entries"]
    assert f"A list of {len(entries)} published files" in (ROOT / "README.md").read_text(encoding="utf-8")
