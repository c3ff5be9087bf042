"""Find versions, and which optional parts are present or why they are absent. Only torch is imported for that."""

from __future__ import annotations

import importlib.util
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]
NEEDED = ("torch", "safetensors")


@dataclass(frozen=True)
class OptionalPart:
    """An optional part; `detail` is its version or name, or why it is absent."""

    name: str
    present: bool
    detail: str


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


def optional_parts() -> Iterator[OptionalPart]:
    for package in OPTIONAL:
        present = _is_installed(package.module)
        known = version(*package.distributions) or "of unknown version"
        yield OptionalPart(package.name, present, known if present else package.absent)
    yield _cuda()


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _cuda() -> OptionalPart:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch needs is missing
        return OptionalPart("CUDA", False, f"torch cannot be imported: {error}")
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        reason = "no device, or no driver, was found" if built else f"torch {torch.__version__} is built without it"
        return OptionalPart("CUDA", False, reason)
    names = (torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    return OptionalPart("CUDA", True, ", ".join(names))
