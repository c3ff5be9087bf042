"""File -> image encoder."""

from __future__ import annotations

import os
from functools import partial

import torch
from torch import nn

from ...tensor_files.placement import AUTO, find_device, find_dtype
from ...tensor_files.weights import checked_path, named_weights
from ..dtypes import best_dtype
from ..network.layers import Ops
from ..network.model import VisionEncoder
from .checkpoint import load_encoder


def load(
    path: str | os.PathLike[str],
    device: torch.device | str = AUTO,
    dtype: torch.dtype | str | None = AUTO,
    *,
    variant: str = AUTO,
    name: str = "",
    ops: Ops = nn,
    pack: bool = True,
    image_size: int | None = None,
) -> VisionEncoder:
    """Load the image encoder in a safetensors or torch file, with what its metadata say. No code in the file is run.

    device: "auto" is the first GPU if there is one, else the CPU
    dtype: in which it computes. "auto" is the fastest on the device that keeps the features (`best_dtype`); others are
        "fp32", "bf16", "fp16", a torch.dtype, and None, which keeps that of the file
    variant, ops: as `load_encoder` takes them
    name: of the file, for errors and as a hint of what it is (`presets.find_preset`); by default its path
    pack: whether an encoder on the CPU gets its weights packed, which is faster there (`pack_weights`)
    image_size: pixels along a side of the pictures that it reads, a multiple of its patch, for which its position
        embeddings are interpolated; None is its own. DINOv2 takes any size; its own is 224

    Raises:
        ValueError: the path, the device or the dtype is none; the file cannot be read; or as `load_encoder`.
    """
    device = find_device(device)
    dtype = find_dtype(dtype, best_dtype(device))
    path = checked_path(path)
    with named_weights(path, name or path) as weights:
        return load_encoder(
            weights.tensors,
            read=partial(weights.read, dtype=dtype),
            variant=variant,
            metadata=weights.metadata,
            name=name or os.path.abspath(path),  # as long as its folders may say what it is, and no longer
            ops=ops,
            device=device,
            dtype=dtype,
            pack=pack and device.type == "cpu",
            image_size=image_size,
        )
