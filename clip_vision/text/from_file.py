"""File -> text encoder."""

from __future__ import annotations

import os
from functools import partial

import torch
from torch import nn

from ...tensor_files.placement import AUTO, find_device, find_dtype
from ...tensor_files.weights import checked_path, named_weights
from ..dtypes import best_dtype
from ..network.layers import Ops
from .checkpoint import FindTokenizer, load_text_encoder
from .network import TextEncoder
from .siglip_tokenizers import read_tokenizer, tokenizer_beside
from .tokens import Tokenizer


def load_text(
    path: str | os.PathLike[str],
    device: torch.device | str = AUTO,
    dtype: torch.dtype | str | None = AUTO,
    *,
    tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
    find_tokenizer: FindTokenizer | None = None,
    variant: str = AUTO,
    name: str = "",
    ops: Ops = nn,
    pack: bool = True,
) -> TextEncoder:
    """Load the text encoder from a full file, whose image encoder `load` loads. No code in the file is run.

    device, dtype, variant, name, ops, pack: as `load` takes them
    tokenizer: reads the texts: a Tokenizer, or for a SigLIP the path of its tokenizer.json, of its sentencepiece file,
        or of a Gemma 2 that holds it (`spiece_model`). By default CLIP's own, and for a SigLIP what is found:
    find_tokenizer: as `load_text_encoder` takes it; by default it looks beside the file

    Raises:
        ValueError: the path, the device or the dtype is none; the file cannot be read; or as `load_text_encoder`.
    """
    device = find_device(device)
    dtype = find_dtype(dtype, best_dtype(device))
    path = checked_path(path)
    if tokenizer is not None and not isinstance(tokenizer, Tokenizer):
        tokenizer = read_tokenizer(tokenizer)
    with named_weights(path, name or path) as weights:
        return load_text_encoder(
            weights.tensors,
            read=weights.read,
            tokenizer=tokenizer,
            find_tokenizer=find_tokenizer or partial(tokenizer_beside, os.path.abspath(path)),
            variant=variant,
            metadata=weights.metadata,
            name=name or os.path.abspath(path),  # as `load` gives it, so that both encoders have one name
            ops=ops,
            device=device,
            dtype=dtype,
            pack=pack and device.type == "cpu",
        )
