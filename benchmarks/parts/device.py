"""What the benchmarks measure on a CPU and on a GPU by the same code: time, memory, kernel launches, waits, matmul."""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from . import host

LAUNCH = re.compile(r"cu(da)?(Launch(Cooperative)?Kernel\w*|GraphLaunch\w*)")
# What makes the program wait for the GPU. A copy that does not wait is called cudaMemcpyAsync.
WAIT = re.compile(r"cu(da)?((Stream|Device|Event|Ctx)Synchronize|Memcpy(\w*_v2)?)(_ptsz)?")
RANGE = "image prompt evaluation"
NONE = "–"  # in place of what there is not on a CPU


def check(device: str) -> None:
    """End the program with a sentence unless torch can compute on this device."""
    if device not in ("cpu", "cuda"):
        sys.exit(f"--device {device}: benchmarks run on cpu or cuda. Give one of these.")
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            f"--device cuda: torch {torch.__version__} finds no CUDA GPU here. Run this on a machine with one and a "
            "torch built for CUDA, or give --device cpu, which runs the same code on tiny shapes."
        )


def title(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


@dataclass(frozen=True)
class Calls:
    """What a piece of work asked of the driver of the GPU: both 0 on a CPU.

    launches: of kernels
    waits: for the GPU
    """

    launches: int
    waits: int


def counted(events: Iterable[Any]) -> Calls:
    """The calls among a profiler's events that lie within the range `RANGE` of the program, not of the GPU."""
    events = list(events)
    [span] = [each.time_range for each in events if each.name == RANGE and each.device_type.name == "CPU"]
    names = [each.name for each in events if span.start <= each.time_range.start < span.end]
    return Calls(*(sum(bool(pattern.fullmatch(name)) for name in names) for pattern in (LAUNCH, WAIT)))


def calls(function: Callable[[], object], device: str) -> Calls:
    """The calls of one run of a function, of which the first runs are over."""
    kinds = torch.profiler.ProfilerActivity
    activities = [kinds.CPU, *([kinds.CUDA] if device == "cuda" else [])]
    with (
        torch.profiler.profile(activities=activities, acc_events=True) as profile,
        torch.profiler.record_function(RANGE),
    ):
        function()
    return counted(profile.events())


def finished(function: Callable[[], object], device: str) -> Callable[[], object]:
    """The function, which returns when the GPU has done all of it, too."""
    if device == "cpu":
        return function

    def call() -> None:
        function()
        torch.cuda.synchronize()

    return call


def timed(functions: dict[str, Callable[[], object]], device: str, budget: float, least: int = 5) -> dict[str, float]:
    """Median seconds of each, taking turns until the budget (in seconds) is spent."""
    return host.interleaved({name: finished(each, device) for name, each in functions.items()}, budget, least)


def peak(function: Callable[[], object], device: str) -> str:
    """The highest memory that a function takes on the GPU beside what is there, in MB as text."""
    if device == "cpu":
        return NONE
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    finished(function, device)()
    return f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.0f}"


def matmul_rate(dtype: torch.dtype, device: str, side: int, budget: float = 0.5) -> float:
    """The FLOP/s of the product of two square matrices, the median of several."""
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / timed({"mm": lambda: torch.mm(a, b)}, device, budget, least=7)["mm"]
