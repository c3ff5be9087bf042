"""Where two matrix products with a softmax between them were measured to be faster than the fused kernel.

benchmarks/sampling.py and benchmarks/device.py measure it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .few_tokens import FEW_TOKENS


@dataclass(frozen=True)
class Most:
    """Image prompts of up to so many tokens are computed by matrix products, longer ones by the fused kernel.

    joined: for queries (B, L, I)
    apart: for queries (B, L, H, D)
    """

    joined: int
    apart: int


NEVER = Most(0, 0)
MOST: Mapping[tuple[str, torch.dtype], Most] = {  # (type of device, dtype); what was never measured is in no row
    ("cpu", torch.float32): Most(FEW_TOKENS, 128),
    ("cpu", torch.bfloat16): Most(FEW_TOKENS, 32),
}


def most_tokens(q: Tensor) -> int:
    """How many tokens image prompts may have at most that are computed by matrix products; 0 if none are."""
    most = MOST.get((q.device.type, q.dtype), NEVER)
    return most.joined if q.ndim == 3 else most.apart
