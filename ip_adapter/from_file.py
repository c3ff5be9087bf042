"""File -> adapter: the one module of this package that opens files."""

from __future__ import annotations

import os
from functools import partial

import torch
from torch import nn

from ..tensor_files.placement import AUTO, find_device, find_dtype
from ..tensor_files.weights import checked_path, named_weights
from .adapter import IPAdapter
from .checkpoint import load_adapter
from .loading import Ops


def load(
    path: str | os.PathLike[str],
    device: torch.device | str = AUTO,
    dtype: torch.dtype | str | None = AUTO,
    *,
    name: str = "",
    family: str = "",
    ops: Ops = nn,
) -> IPAdapter:
    """Load the adapter in a safetensors or torch file. No code in the file is run.

    Args:
        device: "auto" is the first GPU if there is one, else the CPU
        dtype: in which the weights are kept. "auto" is fp32; others are "fp32", "bf16", "fp16", a torch.dtype, and
            None, which keeps that of the file
        name: of the file, for messages, by default the path as given
        family: the id of the family, where the shapes of a file leave a choice, as `load_adapter` takes it
        ops: the namespace that layers come from

    Raises:
        ValueError: the path, the device or the dtype is none; the file cannot be read; or as `load_adapter`.
    """
    device = find_device(device)
    dtype = find_dtype(dtype, torch.float32)
    path = checked_path(path)
    name = name or path
    with named_weights(path, name) as weights:
        read = partial(weights.read, dtype=dtype)
        return load_adapter(
            weights.tensors,
            read=read,
            name=name,
            path=path,
            family=family,
            ops=ops,
            device=device,
            dtype=dtype,
            metadata=weights.metadata,
        )
