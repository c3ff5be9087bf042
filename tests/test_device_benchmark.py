"""The benchmark of devices counts what a profiler saw, and runs the same code on a CPU."""

import importlib
import sys
from types import SimpleNamespace as Made

import pytest
import torch

from image_prompt.devtools.stages import ROOT


@pytest.fixture(scope="module")
def device():
    known, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("parts.device")
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith(("_", "parts")):
            sys.modules.pop(name)


def event(name, start, end=None, kind="CPU"):
    return Made(name=name, time_range=Made(start=start, end=end or start), device_type=Made(name=kind))


def test_launches_and_waits_within_the_evaluation_are_counted(device):
    inside = [
        "cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaGraphLaunch",
        "cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy", "cuMemcpyDtoH_v2",
        "cudaMemcpyAsync", "cudaStreamWaitEvent", "cudaEventRecord", "aten::mm", "cudaMalloc", "my cudaLaunchKernel",
    ]  # fmt: skip
    events = [event(name, 10 + number) for number, name in enumerate(inside)]
    events += [event(device.RANGE, 10, 50), event(device.RANGE, 30, 80, "CUDA")]
    events += [event("cudaLaunchKernel", 9), event("cudaDeviceSynchronize", 50)]  # of the profiler itself
    assert device.counted(events) == device.Calls(launches=5, waits=5)


def test_work_on_a_cpu_launches_nothing_and_has_no_memory_of_a_gpu(device):
    work = torch.nn.Linear(4, 4)
    assert device.calls(lambda: work(torch.ones(1, 4)), "cpu") == device.Calls(0, 0)
    assert device.peak(lambda: work(torch.ones(1, 4)), "cpu") == device.NONE
    assert device.matmul_rate(torch.float32, "cpu", 8, budget=0.0) > 0


@pytest.mark.parametrize(("word", "said"), [("cuda", "finds no CUDA GPU here"), ("tpu", "run on cpu or cuda")])
def test_a_device_that_is_not_there_is_refused_in_a_sentence(device, monkeypatch, word, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=said):
        device.check(word)
