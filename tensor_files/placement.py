"""Where a model is put and in which number format it computes, by torch's objects or by words such as "auto"."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import torch

AUTO = "auto"
LONGEST = 200  # characters of what torch says
NO_MEMORY = ("out of memory", "can't allocate memory", "alloc_failed")  # in the errors of MPS, the CPU, cuBLAS
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# devices that "auto" takes, the first that is there; whether it is
ACCELERATORS: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "xpu": torch.xpu.is_available,
    "mps": torch.backends.mps.is_available,
}


def find_device(device: object) -> torch.device:
    """The device that is meant, a torch.device or a word for one: "auto" is a GPU if there is one, else the CPU.

    A GPU comes with its number, as tensors on it tell it.

    Raises:
        ValueError: it is unknown, or not there.
    """
    if device == AUTO:
        return _numbered(next((name for name, is_there in ACCELERATORS.items() if is_there()), "cpu"))
    if not isinstance(device, (torch.device, str)):
        raise ValueError(f'The device is {device!r}: give "auto", "cpu", "cuda", or another name that torch knows.')
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f'There is no device {device!r}: give "auto", "cpu", "cuda", "cuda:1", or another name that torch knows.'
        ) from error
    if found.type == "meta":
        raise ValueError('On the device "meta" tensors have no values: give "auto", "cpu" or "cuda".')
    if found.type == "cuda":
        _check_cuda(found)
    try:
        return _numbered(found)
    except Exception as error:  # torch raises a dozen types for a device that is not there
        raise ValueError(f'The device {device} cannot be used: {_said(error)}. Give "auto" or "cpu".') from error


def _said(error: Exception) -> str:
    """The first sentence of an error, cut at a word if it is long: torch lists all its backends."""
    sentence = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    return textwrap.shorten(sentence, LONGEST, placeholder="...") or type(error).__name__


def _numbered(device: torch.device | str) -> torch.device:
    return torch.empty(0, device=device).device


def _check_cuda(device: torch.device) -> None:
    if not (torch.version.cuda or torch.version.hip):
        raise ValueError(
            f"The device {device} cannot be used: this torch ({torch.__version__}) was built without CUDA. Install a "
            'torch with CUDA or ROCm, or give "auto" or "cpu".'
        )
    if not torch.cuda.is_available():
        raise ValueError(
            f"The device {device} cannot be used: torch finds no GPU. Check that there is one, that this process may "
            'see it, and that its driver is installed, or give "auto" or "cpu".'
        )
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"There is no device {device}: the last of {torch.cuda.device_count()} is "
            f"cuda:{torch.cuda.device_count() - 1}."
        )


def find_dtype(dtype: object, auto: torch.dtype) -> torch.dtype | None:
    """The number format that is meant, a torch.dtype or a word for one: `auto` for "auto"; None stays None.

    Raises:
        ValueError: it is unknown, or nothing can be computed in it.
    """
    if dtype is None:
        return None
    if isinstance(dtype, str):
        found = auto if dtype == AUTO else DTYPES.get(dtype)
    else:
        found = dtype if isinstance(dtype, torch.dtype) and _computes(dtype) else None
    if found is None:
        raise ValueError(
            f'The dtype is {dtype!r}: give "auto", {", ".join(map(repr, DTYPES))}, a torch.dtype of 16 or more bits '
            "with a fraction, or None to keep that of the file."
        )
    return found


def _computes(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point and dtype.itemsize >= 2


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch says that a device has no memory left. Not every device has its own type for it."""
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in said for words in NO_MEMORY)
