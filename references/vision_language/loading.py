"""Folder -> encoder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .encoder import VisionLanguageEncoder
from .transformers_backend import TransformersBackend

if TYPE_CHECKING:
    import torch


def load_vision_language(
    path: str | os.PathLike[str],
    device: torch.device | str = "auto",
    dtype: torch.dtype | str | None = "auto",
    **options: Any,
) -> VisionLanguageEncoder:
    """Load the Qwen3-VL in a folder, with transformers. Nothing is downloaded, and no code in the folder is run.

    device: "auto" is a GPU if there is one with room for the model, else the CPU; it is also the CPU where the memory
        of the GPU runs out later
    dtype: in which it computes: "auto" is bf16 where the device multiplies it natively, else fp32; others are "fp32",
        "bf16", "fp16", a torch.dtype, and None, which keeps that of the files
    options: as VisionLanguageEncoder takes them

    Raises:
        ValueError: the folder holds no Qwen3-VL that can be loaded, transformers is missing or too old, the device or
            dtype is none, or as VisionLanguageEncoder.
    """
    return VisionLanguageEncoder(TransformersBackend(path, device, dtype), **options)
