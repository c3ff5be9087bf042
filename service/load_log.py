"""One line in the log for each model file that was loaded, at debug level."""

from __future__ import annotations

import logging

import torch


def log_load(file: str, kind: str, dtype: torch.dtype, device: torch.device, seconds: float) -> None:
    """Log what was loaded from a file.

    kind: which encoder, or which family of adapters
    device: where it will compute
    """
    written = str(dtype).removeprefix("torch.")
    logging.getLogger(__name__).debug("Loaded %s: %s, %s, on %s, in %.2f s.", file, kind, written, device, seconds)
