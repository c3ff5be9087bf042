"""The number format in which a device multiplies matrices fastest without losing the features."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import torch

# Turing chips without tensor cores (TU116, TU117) give wrong numbers in fp16
BROKEN_FP16 = r"GTX 16\d\d|MX[45]50|\bT(400|500|550|600|1000|1200|2000)\b|CMP 30HX"
AMD_WITHOUT_BF16 = r"gfx(8\w\w|90[0-79c]|10\w\w)\b"  # GCN, Vega but for the Instinct MI100 and later, RDNA and RDNA2


def best_dtype(device: torch.device | str) -> torch.dtype:
    """bf16 where the processor or GPU multiplies it natively, fp16 on GPUs that multiply only that, else fp32."""
    device = torch.device(device)
    return _BY_DEVICE.get(device.type, _other)(device)


def _cpu(device: torch.device) -> torch.dtype:
    # torch has no public function that tells this; a build without the private one computes in fp32
    native = any(_ask(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.bfloat16 if native else torch.float32


def _ask(name: str) -> bool:
    question = getattr(torch.cpu, name, None)
    return bool(question()) if callable(question) else False


def _cuda(device: torch.device) -> torch.dtype:
    properties = cast(Any, torch.cuda).get_device_properties(device)  # untyped in torch
    if torch.version.hip:
        return torch.float16 if re.match(AMD_WITHOUT_BF16, properties.gcnArchName) else torch.bfloat16
    if properties.major >= 8:
        return torch.bfloat16
    sound = (properties.major, properties.minor) >= (5, 3) and not re.search(BROKEN_FP16, properties.name)
    return torch.float16 if sound else torch.float32


def _xpu(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if torch.xpu.is_bf16_supported() else torch.float16


def _mps(device: torch.device) -> torch.dtype:
    return torch.float16


def _other(device: torch.device) -> torch.dtype:
    return torch.float32


_BY_DEVICE: dict[str, Callable[[torch.device], torch.dtype]] = {"cpu": _cpu, "cuda": _cuda, "mps": _mps, "xpu": _xpu}
