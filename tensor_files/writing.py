"""Write tensors into a safetensors file, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from .safetensors_header import MAX_HEADER
from .tensor_info import DTYPE_BITS
from .weights import DTYPES, Path
from .whole_files import new_file

WORDS = {dtype: word for word, dtype in DTYPES.items() if word in DTYPE_BITS}  # those that the format has
ALIGNMENT = 8  # bytes; other programs map the file into memory, where numbers have to begin at multiples of their size


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a new safetensors file. Raises as `new_file`."""
    with new_file(path) as file:
        _write(file, tensors, metadata)


def _write(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)  # so that all are aligned
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": WORDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise ValueError(f"The metadata of the file would take {len(text):,} bytes, and {MAX_HEADER:,} are read.")
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for _, tensor in ordered:
        numbers = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        file.write(memoryview(cast(Any, numbers).numpy()))
