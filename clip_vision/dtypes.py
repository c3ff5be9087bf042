"""The number format in which a device multiplies matrices fastest without losing the features."""

from __future__ import annotations

from collections.abc import Callable

import torch


def best_dtype(device: torch.device | str) -> torch.dtype:
    """bf16 on processors and CUDA devices that multiply it natively, fp16 on other GPUs, else fp32."""
    device = torch.device(device)
    return _BY_DEVICE.get(device.type, _other)(device)


def _cpu(device: torch.device) -> torch.dtype:
    # torch has no public question for this; a build that cannot be asked computes in fp32
    native = any(_ask(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.bfloat16 if native else torch.float32


def _ask(name: str) -> bool:
    question = getattr(torch.cpu, name, None)
    return bool(question()) if callable(question) else False


def _cuda(device: torch.device) -> torch.dtype:
    major, minor = torch.cuda.get_device_capability(device)
    if torch.version.hip or major >= 8:
        return torch.bfloat16
    return torch.float16 if (major, minor) >= (5, 3) else torch.float32


def _mps(device: torch.device) -> torch.dtype:
    return torch.float16


def _other(device: torch.device) -> torch.dtype:
    return torch.float32


_BY_DEVICE: dict[str, Callable[[torch.device], torch.dtype]] = {"cpu": _cpu, "cuda": _cuda, "mps": _mps}
