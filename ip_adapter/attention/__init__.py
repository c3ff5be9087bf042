"""Decoupled image cross-attention (IP-Adapter, https://arxiv.org/abs/2308.06721, section 3.2.2).

    out = attend(q, K_text, V_text) + weight * attend(q, K_image, V_image)

Letters in this folder: B rows of a call, L latent tokens of a row, T image tokens, I inner width, H heads, D = I / H,
R references (1: all rows share it), P prompts. Rows that attend to the same keys form one of S sequences, of N queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .attended import Attended, Step, Weights, scale_key
from .few_tokens import FEW_TOKENS, SCORES, few_token_steps
from .fused import Fused

__all__ = ["Attended", "Plan", "Step", "Weights", "image_attention", "plan_attention", "scale_key"]


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of one layer for all calls with queries of the same shape, dtype and device. From `plan_attention`."""

    steps: Sequence[Step]

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        """Add the attention to the image prompts to the result of the text attention.

        Args:
            q: the query, (B, L, I)
            out: the result of the text attention, (B, L, I), contiguous; it is changed in place
            weights: the weights of the image prompts, of any sign, indexed by `Attended.number`
        """
        for step in self.steps:
            step(q, out, weights)


def plan_attention(q: Tensor, attended: Sequence[Attended], heads: int) -> Plan:
    """Plan how queries like `q` attend to the image prompts, so that a call only has to compute.

    Args:
        q: (B, L, I); only its shape, dtype and device count
        attended: any number of image prompts, each with a softmax of its own
        heads: H

    Raises:
        ValueError: the R of a prompt is neither 1 nor the number of its rows.
    """
    for each in attended:
        if each.key.shape[0] not in (1, each.rows.stop - each.rows.start):
            raise ValueError(
                f"{each.key.shape[0]} image prompts for {each.rows.stop - each.rows.start} pictures: give one, or one "
                "for each picture"
            )
    possible = q.device.type == "cpu" and q.dtype in SCORES
    few = [each for each in attended if possible and each.key.shape[1] <= FEW_TOKENS]
    return Plan([*few_token_steps(q, few, heads), *(Fused(each, heads) for each in attended if each not in few)])


def image_attention(
    q: Tensor, attended: Sequence[Attended], heads: int, out: Tensor, weights: Weights = (1.0,)
) -> None:
    """Plan the attention to image prompts and add it to `out`, for a single call.

    Arguments and errors are those of `plan_attention` and `Plan`.
    """
    plan_attention(q, attended, heads)(q, out, weights)
