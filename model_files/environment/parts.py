"""Find versions, and which optional parts are present, or why they are absent or broken.

None of them is imported for that, nor is torch: what only an import can tell, a child process finds out.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from .import_trials import ChildFailed, ask_child, import_problems

PACK = Path(__file__).resolve().parents[2]
NEEDED = ("torch", "safetensors")
State = Literal["present", "absent", "broken", "untried"]  # untried: installed, and whether it works is not known yet
SHOWN: Mapping[State, str] = {"absent": "absent: ", "broken": "broken: "}  # before the detail, in texts
CUDA_DEVICES = """
import torch
said = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
"""


@dataclass(frozen=True)
class OptionalPart:
    """An optional part; `detail` is its version or name, or why it is absent or broken."""

    name: str
    present: bool
    detail: str
    state: State = "present"

    def __str__(self) -> str:
        return f"{SHOWN.get(self.state, '')}{self.detail}"


@dataclass(frozen=True)
class Package:
    name: str
    module: str
    distributions: tuple[str, ...]  # that contain the module
    absent: str


OPTIONAL = (
    Package(
        "onnxruntime",
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
        "not installed: pip install onnxruntime",
    ),
    Package("insightface", "insightface", ("insightface",), "not installed: pip install insightface"),
    Package(
        "open_clip",
        "open_clip",
        ("open_clip_torch", "open-clip-torch"),
        "not installed, and not needed: its model files are read without it",
    ),
    Package("lancedb", "lancedb", ("lancedb",), "not installed: pip install lancedb, for the libraries of a team"),
    Package("pyarrow", "pyarrow", ("pyarrow",), "not installed: pip install pyarrow, to export libraries as parquet"),
    Package(
        "transformers",
        "transformers",
        ("transformers",),
        "not installed: pip install transformers, for vision-language embeddings outside ComfyUI",
    ),
    Package("ray", "ray", ("ray",), "not installed: pip install 'ray[data]', for `embed --ray` on a cluster"),
    Package("aiohttp", "aiohttp", ("aiohttp",), "not installed: pip install aiohttp, for `serve`"),
    Package(
        "faiss",
        "faiss",
        ("faiss-cpu", "faiss-gpu"),
        "not installed, and not needed: libraries are searched exactly without it",
    ),
)


def versions() -> dict[str, str | None]:
    """The version of each package; None if it is not installed."""
    own = {"image-prompt": pack_version(), "Python": platform.python_version()}
    return {**own, **{name: version(name) for name in NEEDED}}


def pack_version() -> str | None:
    """The version of the pack that contains this file, or of the installed package."""
    try:
        written = (PACK / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return version("image-prompt")
    found = re.search(r'^name = "image-prompt"$.*?^version = "([^"]+)"$', written, re.MULTILINE | re.DOTALL)
    return found[1] if found else None


def version(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def optional_parts(index_file: Path | None = None, patience: float | None = None) -> list[OptionalPart]:
    """All optional parts.

    index_file: where it is kept which packages are broken
    patience: seconds to wait at most until that is known
    """
    return [*_packages(index_file, patience), _cuda()]


def broken_parts(index_file: Path | None = None, patience: float | None = None) -> list[tuple[str, str]]:
    """The name of each optional package that is installed and broken, with what is wrong and what to do."""
    return [
        (
            part.name,
            f"{part.detail.rstrip('.')}. `python -m pip check`, with the Python of your ComfyUI, says which packages "
            f"do not fit together: install versions that do, or uninstall {part.name}.",
        )
        for part in _packages(index_file, patience)
        if part.state == "broken"
    ]


def _packages(index_file: Path | None, patience: float | None) -> list[OptionalPart]:
    installed = [package.module for package in OPTIONAL if _is_installed(package.module)]
    problems = import_problems(installed, index_file, patience)
    return [_package(package, problems) for package in OPTIONAL]


def _package(package: Package, problems: Mapping[str, str | None]) -> OptionalPart:
    if package.module not in problems:
        return OptionalPart(package.name, False, package.absent, "absent")
    known, problem = version(*package.distributions) or "of unknown version", problems[package.module]
    if problem is None:
        return OptionalPart(package.name, True, f"{known}, not known yet whether it can be imported", "untried")
    if problem:
        return OptionalPart(package.name, False, f"{known}, which cannot be imported: {problem}", "broken")
    return OptionalPart(package.name, True, known, "present")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _cuda() -> OptionalPart:
    """CUDA or ROCm: asked of torch if it is imported already, or else in a child if torch was built with it."""
    torch = sys.modules.get("torch")
    if torch:
        return _cuda_of(torch)
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError) as error:
        return _no_cuda(f"torch cannot be imported: {error}")
    if spec is None:
        return _no_cuda("torch cannot be imported: it is not installed")
    text = _text(Path(spec.origin or "").with_name("version.py"))
    if re.search(r"^cuda\b.*= None$", text, re.MULTILINE) and not re.search(r"^hip\b.*= ['\"]", text, re.MULTILINE):
        found = re.search(r"^__version__\b.*= ['\"](.+)['\"]$", text, re.MULTILINE)
        return _no_cuda(f"torch {found[1] if found else version('torch')} is built without it")
    try:
        return _cuda_devices(ask_child(CUDA_DEVICES))
    except ChildFailed as error:
        return OptionalPart("CUDA", False, f"torch cannot be imported: {error}", "broken")
    except OSError:
        return _no_cuda("not known, because torch could not be started")


def _cuda_of(torch: Any) -> OptionalPart:
    if not (torch.version.cuda or torch.version.hip):
        return _no_cuda(f"torch {torch.__version__} is built without it")
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    return _cuda_devices(", ".join(torch.cuda.get_device_name(number) for number in devices))


def _cuda_devices(names: str) -> OptionalPart:
    return OptionalPart("CUDA", True, names, "present") if names else _no_cuda("no device, or no driver, was found")


def _no_cuda(reason: str) -> OptionalPart:
    return OptionalPart("CUDA", False, reason, "absent")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
