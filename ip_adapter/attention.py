"""Decoupled image cross-attention (IP-Adapter, https://arxiv.org/abs/2308.06721, section 3.2.2).

    out = attend(q, K_text, V_text) + weight * attend(q, K_image, V_image)

Letters: B pictures, L latent tokens, T image tokens, I inner width, H heads, D = I / H,
R reference sets (1: shared by all pictures).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Up to this many image tokens, two matrix products with a softmax over dimension -2 between them beat fused attention
# on a CPU: that softmax vectorises, and the second product adds straight into the output (benchmarks/sampling.py).
FEW_TOKENS = 64


@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """What the queries of one layer look at.

    key, value: (R, T, I) from `fold`; R is 1 (shared by all pictures) or B (one reference set a picture)
    mask: (1 or B, L) how much of the image prompt each latent token takes, or None for all of it
    """

    key: Tensor
    value: Tensor
    mask: Tensor | None = None


def fold(key: Tensor, value: Tensor, heads: int, weight: float) -> tuple[Tensor, Tensor]:
    """Move what is constant over a run into the tensors: the softmax scale into K, the adapter's weight into V.

    Args:
        key, value: (R, T, I)
        heads: H of the layer that will attend to them
        weight: of the image prompt, any sign
    """
    head_width = key.shape[-1] // heads
    return key * head_width**-0.5, value * weight


def image_attention(q: Tensor, prompts: Sequence[ImagePrompt], heads: int, out: Tensor) -> None:
    """Add the attention to each of the image prompts to `out`, in place.

    Args:
        q: (B, L, I) the query of the text cross-attention
        prompts: any number, each with a softmax of its own
        heads: H
        out: (B, L, I) contiguous, the result of the text attention

    Raises:
        ValueError: R of a prompt is neither 1 nor B.
    """
    for prompt in prompts:
        if prompt.key.shape[0] not in (1, q.shape[0]):
            raise ValueError(
                f"{prompt.key.shape[0]} image prompts for {q.shape[0]} pictures: give one, or one for each picture"
            )
    scores = SCORES.get(q.dtype) if q.device.type == "cpu" else None
    few = [prompt for prompt in prompts if scores and prompt.key.shape[1] <= FEW_TOKENS]
    if scores and few:
        for rows, sequence in _sequences(q, few):
            _attend_few(q[rows].reshape(-1, q.shape[2]), sequence, heads, out[rows].view(-1, q.shape[2]), scores)
    for prompt in prompts:
        if prompt not in few:
            _attend_fused(q, prompt, heads, out)


def _sequences(q: Tensor, prompts: Sequence[ImagePrompt]) -> list[tuple[slice, list[ImagePrompt]]]:
    """Rows whose queries see the same keys, with those prompts as (T, I), (T, I) and (rows * L) or None."""
    batch, length = q.shape[:2]
    if all(prompt.key.shape[0] == 1 for prompt in prompts):
        bounds = [slice(0, batch)]
    else:
        bounds = [slice(row, row + 1) for row in range(batch)]
    return [(rows, [_of_rows(prompt, rows, batch, length) for prompt in prompts]) for rows in bounds]


def _of_rows(prompt: ImagePrompt, rows: slice, batch: int, length: int) -> ImagePrompt:
    row = 0 if prompt.key.shape[0] == 1 else rows.start
    mask = None if prompt.mask is None else prompt.mask.expand(batch, length)[rows].reshape(-1)
    return ImagePrompt(prompt.key[row], prompt.value[row], mask)


def _attend_few(
    q: Tensor, prompts: Sequence[ImagePrompt], heads: int, out: Tensor, scores: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """q, out (L, I); all prompts take part in the same two matrix products."""
    key, value = _joined([prompt.key for prompt in prompts]), _joined([prompt.value for prompt in prompts])
    found = scores(_by_head(q, heads), _by_head(key, heads))  # (H, T of all prompts, L)
    shares, start = list[Tensor](), 0
    for prompt in prompts:
        share = found.narrow(-2, start, len(prompt.key)).softmax(-2)
        shares.append(share if prompt.mask is None else share.mul_(prompt.mask))
        start += len(prompt.key)
    _by_head(out, heads).baddbmm_(_joined(shares, -2).mT, _by_head(value, heads))


def _joined(parts: list[Tensor], dim: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _keys_first(q: Tensor, key: Tensor) -> Tensor:
    return torch.bmm(key, q.mT)  # (H, T, D), (H, L, D) -> (H, T, L)


def _queries_first(q: Tensor, key: Tensor) -> Tensor:
    return torch.bmm(q, key.mT).mT.contiguous()


# The order of the first product that is faster on a CPU; fused attention wins in other dtypes.
SCORES = {torch.float32: _keys_first, torch.bfloat16: _queries_first}


def _attend_fused(q: Tensor, prompt: ImagePrompt, heads: int, out: Tensor) -> None:
    mask = prompt.mask
    if prompt.key.shape[0] == 1:  # one sequence, so that nothing is repeated
        mask = None if mask is None else mask.expand(q.shape[:2]).reshape(1, -1)
        q, out = q.reshape(1, -1, q.shape[2]), out.view(1, -1, q.shape[2])
    key, value = _by_head(prompt.key, heads), _by_head(prompt.value, heads)
    image = F.scaled_dot_product_attention(_by_head(q, heads), key, value, scale=1.0).transpose(-2, -3).flatten(-2)
    if mask is None:
        out.add_(image)
    else:
        out.addcmul_(image, mask.unsqueeze(-1))


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(..., N, I) -> (..., H, N, D), a view."""
    return x.view(*x.shape[:-1], heads, -1).transpose(-2, -3)
