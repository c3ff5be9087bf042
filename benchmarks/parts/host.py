"""What the benchmarks share: ComfyUI and the pack imported, and interleaved timing."""

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", default=os.environ.get("COMFYUI_PATH") or str(ROOT / ".dev" / "comfyui"))
    parser.add_argument("--quick", action="store_true", help="fewer cases and repeats")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser


def start(options: argparse.Namespace, **more: object) -> None:
    """Import ComfyUI, and the pack as `image_prompt`."""
    import_comfyui(options, **more)
    import_pack(ROOT)


def import_comfyui(options: argparse.Namespace, **more: object) -> None:
    """Import ComfyUI for the device in the options, or the CPU. `more`: other arguments of its command line."""
    if not (Path(options.comfyui) / "main.py").is_file():
        sys.exit(f"No ComfyUI at {options.comfyui}: give --comfyui PATH or set COMFYUI_PATH.")
    sys.path.insert(0, options.comfyui)
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    vars(args).update(more, cpu=getattr(options, "device", "cpu") == "cpu")
    import torch

    torch.set_num_threads(options.threads)


def import_pack(tree: Path) -> None:
    """Import the pack in this folder as `image_prompt`."""
    load("image_prompt", tree / "__init__.py", submodule_search_locations=[str(tree)])


def load(name: str, path: Path, **options: object) -> ModuleType:
    """Import a file under a name, as ComfyUI imports a pack."""
    spec = importlib.util.spec_from_file_location(name, path, **options)
    assert spec and spec.loader
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def interleaved(
    functions: dict[str, Callable[[], object]],
    budget: float,
    least: int = 5,
    of: Callable[[list[float]], float] = statistics.median,
) -> dict[str, float]:
    """Median seconds of each, taking turns until the budget (in seconds) is spent, after one turn to warm up.

    of: what is taken of the seconds of all turns instead of their median
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    end = time.perf_counter() + budget
    while time.perf_counter() < end or len(next(iter(times.values()))) < least:
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: of(each) for name, each in times.items()}
