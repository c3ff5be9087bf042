"""The ladder of memory: fewer pictures at a time, then the CPU; with functions that raise as devices do."""

import gc
import weakref

import pytest
import torch

from image_prompt.service import is_out_of_memory, with_less_memory

SHORT = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


@pytest.mark.parametrize("error", SHORT, ids=str)
@pytest.mark.parametrize("fits, tried", [(8, [8]), (2, [8, 2]), (1, [8, 2, 1]), (0, [8, 2, 1, "cpu"])])
def test_fewer_pictures_then_the_cpu(error, fits, tried):
    called, told = [], []

    def attempt(chunk):
        called.append(chunk)
        if chunk > fits:
            raise error
        return chunk

    found = with_less_memory(attempt, lambda: called.append("cpu") or "cpu", on_retry=lambda *what: told.append(what))
    assert called == tried and found == tried[-1]
    assert told == [(8, "fewer"), (2, "fewer"), (1, "the CPU")][: len(tried) - 1]


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("shapes"), KeyError("a")], ids=repr)
def test_other_errors_are_raised_at_once(error):
    called = []

    def attempt(chunk):
        called.append(chunk)
        raise error

    with pytest.raises(type(error)):
        with_less_memory(attempt, lambda: "cpu")
    assert called == [8] and not is_out_of_memory(error)


def test_the_tensors_of_a_failed_attempt_are_let_go_before_the_next():
    held = []

    def attempt(chunk):
        gc.collect()
        assert not any(each() is not None for each in held)
        tensor = torch.zeros(10)
        held.append(weakref.ref(tensor))
        raise torch.cuda.OutOfMemoryError("out of memory")

    assert with_less_memory(attempt, lambda: "cpu") == "cpu" and len(held) == 3
