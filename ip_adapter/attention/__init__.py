"""Decoupled image cross-attention (IP-Adapter, https://arxiv.org/abs/2308.06721, section 3.2.2).

    out = attend(q, K_text, V_text) + weight * attend(q, K_image, V_image)

Letters in this folder: B rows of a call, L latent tokens of a row, T image tokens, I inner width, H heads, D = I / H,
R reference sets (1: all rows share one), P prompts, N queries of a sequence of rows that see the same keys.
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
    """What one layer does in every call that is like the one it was made for; from `plan_attention`."""

    steps: Sequence[Step]

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        """Add the attention of the query `q` (B, L, I) to `out` (B, L, I), contiguous: the text attention's result.

        weights: of the image prompts, any sign, by `Attended.number`
        """
        for step in self.steps:
            step(q, out, weights)


def plan_attention(q: Tensor, attended: Sequence[Attended], heads: int) -> Plan:
    """How queries like `q` attend to the image prompts: what can be worked out before the call is worked out here.

    Args:
        q: (B, L, I); its shape, dtype and device are what counts
        attended: any number, each with a softmax of its own
        heads: H

    Raises:
        ValueError: R of a prompt is neither 1 nor the number of its rows.
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
    """`plan_attention` for a single call."""
    plan_attention(q, attended, heads)(q, out, weights)
