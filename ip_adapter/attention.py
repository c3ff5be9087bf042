"""Decoupled image cross-attention (IP-Adapter, https://arxiv.org/abs/2308.06721, section 3.2.2).

    out = attend(q, K_text, V_text) + weight * attend(q, K_image, V_image)

Letters: B pictures, L latent tokens, T image tokens, I inner width, H heads, D = I / H,
R reference sets (1: shared by all pictures).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# Up to this many image tokens, scores laid out as (H, T, L) beat fused attention on a CPU: the softmax then runs over
# a dimension that vectorises, and the second product adds straight into the output. Measured in benchmarks/sampling.py.
FEW_TOKENS = 64


def fold(key: Tensor, value: Tensor, heads: int, weight: float) -> tuple[Tensor, Tensor]:
    """Move what is constant over a run into the tensors: the softmax scale into K, the adapter's weight into V.

    Args:
        key, value: (R, T, I)
        heads: H of the layer that will attend to them
        weight: of the image prompt, any sign
    """
    head_width = key.shape[-1] // heads
    return key * head_width**-0.5, value * weight


def image_attention(q: Tensor, key: Tensor, value: Tensor, heads: int, out: Tensor, mask: Tensor | None = None) -> None:
    """Add image attention to `out`, in place.

    Args:
        q: (B, L, I) the query of the text cross-attention
        key, value: (R, T, I) from `fold`; R is 1 (shared) or B (one reference set a picture)
        heads: H
        out: (B, L, I) contiguous, the result of the text attention
        mask: (1 or B, L) how much of the image prompt each latent token takes, or None for all of it

    Raises:
        ValueError: R is neither 1 nor B.
    """
    batch, length, width = q.shape
    if key.shape[0] == 1:  # every query sees the same keys: one sequence, nothing is repeated
        q, out = q.reshape(1, batch * length, width), out.view(1, batch * length, width)
        mask = None if mask is None else mask.expand(batch, length).reshape(1, -1)
    elif key.shape[0] != batch:
        raise ValueError(f"{key.shape[0]} image prompts for {batch} pictures: give one, or one for each picture")
    few = q.device.type == "cpu" and key.shape[1] <= FEW_TOKENS
    (_attend_few if few else _attend_fused)(q, key, value, heads, out, mask)


def _attend_few(q: Tensor, key: Tensor, value: Tensor, heads: int, out: Tensor, mask: Tensor | None) -> None:
    for row in range(q.shape[0]):
        queries = _by_head(q[row], heads).mT  # (H, D, L)
        keys, values = _by_head(key[row], heads), _by_head(value[row], heads)  # (H, T, D)
        scores = torch.bmm(keys, queries).softmax(-2)  # (H, T, L)
        if mask is not None:
            scores.mul_(mask[row if mask.shape[0] > 1 else 0])
        _by_head(out[row], heads).baddbmm_(scores.mT, values)


def _attend_fused(q: Tensor, key: Tensor, value: Tensor, heads: int, out: Tensor, mask: Tensor | None) -> None:
    image = F.scaled_dot_product_attention(_by_head(q, heads), _by_head(key, heads), _by_head(value, heads), scale=1.0)
    image = image.transpose(-2, -3).flatten(-2)  # (B, H, L, D) -> (B, L, I)
    if mask is None:
        out.add_(image)
    else:
        out.addcmul_(image, mask.unsqueeze(-1))


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(..., N, I) -> (..., H, N, D), a view."""
    return x.view(*x.shape[:-1], heads, -1).transpose(-2, -3)
