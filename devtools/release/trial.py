"""Try the unpacked archive in a clean ComfyUI, and the wheel in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from ..comfyui import DEMO_NODES, Server, ServerError, add_world, prepare_base
from ..processes import call
from ..stages import DEV, Progress, StageError, log_file

NAME = "image-prompt"
FOR_TESTS = ("tests", "demo", "devtools", "assets", "dev.py", ".comfyignore")  # what the registry does not get
TESTS = (
    "tests/server/test_boot.py",
    "tests/server/test_example_workflows.py",
    "tests/server/test_help_pages.py",
    "tests/nodes/test_apply.py",
    "tests/nodes/test_load.py",
    "tests/test_boundary.py",
    "tests/test_locales.py",
)

Sample = Callable[[Server], dict[str, bytes]]


def try_in_comfyui(python: Path, comfyui: Path, unpacked: Path, sample: Sample) -> str:
    """Start ComfyUI with the archive alone, sample the demo, and fetch what a browser gets; say what came out."""
    base = DEV / "release" / "base"
    shutil.rmtree(base, ignore_errors=True)
    prepare_base(base, DEMO_NODES)
    shutil.copytree(unpacked, base / "custom_nodes" / NAME)
    add_world(base)
    arguments = ["--cpu", "--database-url", "sqlite:///:memory:"]
    log = log_file("release")
    with Server(comfyui, python, base, log, arguments, {"OMP_NUM_THREADS": "1"}) as server:
        try:
            server.wait_until_ready()
            require_served(server, unpacked)
            pictures = sample(server)
            nodes = [name for name, node in server.get("/object_info").items() if is_ours(node)]
        except (ServerError, OSError) as error:
            raise StageError("try the archive", str(error), log) from error
    if not nodes:
        raise StageError("try the archive", "ComfyUI knows no node of it.", log)
    return f"{len(nodes)} nodes, and the demo's {len(pictures)} pictures"


def is_ours(node: dict[str, object]) -> bool:
    return node["python_module"] == f"custom_nodes.{NAME}"


def require_served(server: Server, unpacked: Path) -> None:
    """Raises StageError unless the browser gets every script and help page, and sees every template."""
    scripts = {path for path in server.get("/extensions") if path.startswith(f"/extensions/{NAME}/")}
    for path in (unpacked / "js").rglob("*.js"):
        address = f"/extensions/{NAME}/{path.relative_to(unpacked / 'js').as_posix()}"
        if address not in scripts:
            raise StageError("try the archive", f"ComfyUI does not load {path.relative_to(unpacked)}.")
    for path in (unpacked / "js" / "docs").rglob("*.md"):
        address = f"/extensions/{NAME}/{path.relative_to(unpacked / 'js').as_posix()}"
        if server.fetch(urllib.parse.quote(address)) != path.read_bytes():
            raise StageError("try the archive", f"ComfyUI serves another text for {address}.")
    templates = set(server.get("/workflow_templates")[NAME])
    if templates != {path.stem for path in (unpacked / "example_workflows").glob("*.json")}:
        raise StageError("try the archive", f"ComfyUI offers other templates: {', '.join(sorted(templates))}.")


def run_tests(python: Path, comfyui: Path, unpacked: Path, source: Path) -> None:
    """Run tests on the files of the archive, with what tests need beside them. Raises StageError if one fails."""
    beside = unpacked.with_name("tested")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(unpacked, beside)
    for name in FOR_TESTS:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy
        copy(source / name, beside / name)
    environment = {"COMFYUI_PATH": str(comfyui), "OMP_NUM_THREADS": "1", "IMAGE_PROMPT_DEV": str(DEV)}
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not gpu and not nightly and not browser"]
    if call([*command, *(beside / test for test in TESTS)], environment, beside):
        raise StageError("test the archive", "tests fail on its files: see above.")


def try_wheel(python: Path, wheel: Path, version: str) -> None:
    """Run the command of the wheel where nothing else of the pack is."""
    site = wheel.with_name("site")
    shutil.rmtree(site, ignore_errors=True)
    for command in installing(python, wheel, site):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=wheel.parent,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise StageError("try the wheel", done.stderr.strip())
    if (found := json.loads(done.stdout)["versions"][NAME]) != version:
        raise StageError("try the wheel", f"says that it is {found}, and not {version}.")


def installing(python: Path, wheel: Path, site: Path) -> Iterator[list[object]]:
    """Install a wheel into a folder, and ask it what it is, where there are no models to look for."""
    yield [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    yield [python, "-m", "image_prompt", "status", "--json", "--models", no_models(site)]


def no_models(site: Path) -> Path:
    """A folder for models with none in it, beside a folder of packages."""
    folder = site.with_name("models")
    (folder / "ipadapter").mkdir(parents=True, exist_ok=True)
    return folder


def build_wheel(python: Path, source: Path, folder: Path) -> Path:
    """Build the wheel of a checkout; return its path."""
    progress = Progress("build the wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    command = [python, "-m", "pip", "wheel", *options, source]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError("build the wheel", done.stderr.strip())
    (wheel,) = folder.glob("*.whl")
    progress.done(wheel.name)
    return wheel
