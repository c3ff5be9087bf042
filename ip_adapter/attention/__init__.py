"""Decoupled image cross-attention (IP-Adapter, https://arxiv.org/abs/2308.06721, section 3.2.2).

    out = attend(q, K_text, V_text) + weight * attend(q, K_image, V_image)

`COMBINED` has other ways of joining the text attention.

Letters in this folder: B rows of a call, L latent tokens of a row, T image tokens, I inner width, H heads, D = I / H,
R references (1: all rows share it), P prompts. Rows that attend to the same keys form one of S sequences, of N queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from torch import Tensor

from ..families import Combine
from .attended import NOTHING, Attended, Beside, ReadingStep, Step, Weights, scale_key
from .few_tokens import few_token_steps
from .fused import Fused
from .gated import Gated
from .heads_apart import apart_steps
from .joint_softmax import JointSoftmax
from .measured import most_tokens
from .orthogonal import Orthogonal
from .own_norm import OwnNorm
from .own_query import OwnQuery

__all__ = [
    "NOTHING",
    "Attended",
    "Beside",
    "Plan",
    "Step",
    "Weights",
    "image_attention",
    "plan_attention",
    "scale_key",
]

COMBINED: Mapping[Combine, Callable[[Attended, int], ReadingStep]] = {  # how a prompt joins the text -> its step
    "orthogonal": Orthogonal,
    "orthogonal v2": Orthogonal,
    "orthogonal v2, one head": Orthogonal,
    "joint": JointSoftmax,
    "own norm": OwnNorm,
    "gated": Gated,
    "own query": OwnQuery,
}


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of one layer for all calls with queries of the same shape, dtype and device. From `plan_attention`.

    reading: the steps that depend on what the block offers. They come first, and each of them sees the text alone
    """

    steps: Sequence[Step]
    reading: Sequence[ReadingStep] = ()

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None:
        """Add the attention to the image prompts to the result of the text attention.

        Args:
            q: the query, (B, L, I), or (B, L, H, D), a view of memory in which the heads lie apart
            out: the result of the text attention, (B, L, I), or the part of it that belongs to these latent tokens; it
                is changed in place
            weights: the weights of the image prompts, of any sign, indexed by `Attended.number`
            beside: what else the block offers
        """
        if self.reading and beside.text is None and self._read_twice:
            beside = replace(beside, text=out.clone())
        for step in self.reading:
            step(q, out, weights, beside)
        for step in self.steps:
            step(q, out, weights)

    @cached_property
    def _read_twice(self) -> bool:
        """Whether a step reads rows to which another one that reads has added."""
        rows = sorted((step.rows.start, step.rows.stop) for step in self.reading)
        return any(start < stop for (_, stop), (start, _) in pairwise(rows))


def plan_attention(q: Tensor, attended: Sequence[Attended], heads: int) -> Plan:
    """Plan how queries like `q` attend to the image prompts, so that a call only has to compute.

    Args:
        q: (B, L, I) or (B, L, H, D); only its shape, dtype and device count
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
    reading = [COMBINED[each.combine](each, heads) for each in attended if each.combine != "add"]
    adding = [each for each in attended if each.combine == "add"]
    few = [each for each in adding if each.key.shape[1] <= most_tokens(q)]
    products = few_token_steps if q.ndim == 3 else apart_steps
    steps = [*products(q, few, heads), *(Fused(each, heads) for each in adding if each not in few)]
    return Plan(steps, reading)


def image_attention(
    q: Tensor,
    attended: Sequence[Attended],
    heads: int,
    out: Tensor,
    weights: Weights = (1.0,),
    beside: Beside = NOTHING,
) -> None:
    """Plan the attention to image prompts and add it to `out`, for a single call.

    Arguments and errors are those of `plan_attention` and `Plan`.
    """
    plan_attention(q, attended, heads)(q, out, weights, beside)
