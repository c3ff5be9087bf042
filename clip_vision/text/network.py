"""The text transformers of CLIP and SigLIP. Letters: B texts, N tokens, W width, D numbers of a vector, H heads.

CLIP: https://arxiv.org/abs/2103.00020, SigLIP: https://arxiv.org/abs/2303.15343.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network.layers import Attention, Layer, Mlp, Ops
from .config import TextConfig
from .tokens import Tokenizer, checked_texts


class CausalAttention(Attention):
    """Self-attention of which each token looks at itself and those before it."""

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """x (B, N, W) -> the first `rows` tokens (B, rows, W)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()  # each (B, H, N, W/H)
        attended = F.scaled_dot_product_attention(q[:, :, :rows], k, v, is_causal=True)
        return self.out(attended.transpose(1, 2).flatten(2))


class TextEncoder(nn.Module):
    """One text encoder, built empty; `checkpoint.load_text_encoder` fills it.

    tokenizer: reads its texts
    fingerprint: of the image encoder in its file, as `fingerprint` gives it: both end in the same space
    logit_scale: what a cosine is multiplied with to make a logit, None where the file does not say it
    logit_bias: what is added then (SigLIP), or None
    """

    def __init__(
        self,
        config: TextConfig,
        tokenizer: Tokenizer,
        ops: Ops = nn,
        *,
        fingerprint: str = "",
        logit_scale: float | None = None,
        logit_bias: float | None = None,
        **factory: Any,
    ):
        super().__init__()
        c, has = config, config.traits
        self.config, self.tokenizer, self.fingerprint = c, tokenizer, fingerprint
        self.logit_scale, self.logit_bias = logit_scale, logit_bias
        attention = CausalAttention if has.causal else Attention
        self.token_embedding = nn.Parameter(torch.empty(c.vocabulary, c.width, **factory))
        self.position_embedding = nn.Parameter(torch.empty(c.context, c.width, **factory))
        self.layers = nn.ModuleList(
            Layer(
                c.width,
                has.norm_eps,
                attention(c.width, c.heads, ops, **factory),
                Mlp(c.width, c.mlp_width, c.activation, ops, **factory),
                ops,
                **factory,
            )
            for _ in range(c.depth)
        )
        self.final_norm = ops.LayerNorm(c.width, eps=has.norm_eps, **factory)
        self.projection = ops.Linear(c.width, c.projection, bias=has.projection_bias, **factory)

    @property
    def weight_device(self) -> torch.device:  # `device` belongs to a host that moves the module
        return self.position_embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """In which it computes; the token embeddings may be kept in another."""
        return self.position_embedding.dtype

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """The tokens of texts (B, N), int64, on the CPU."""
        return self.tokenizer.framed(texts, self.config.context, fixed=not self.config.traits.causal)

    def too_long(self, texts: str | Sequence[str]) -> list[int]:
        """The numbers, from 0, of the texts of which the end is not seen."""
        return self.tokenizer.too_long(checked_texts(texts), self.config.context)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N) -> transformers' `text_embeds` (B, D), not normalised, in the dtype of the weights.

        Of a causal encoder N is up to the context, as what stands after the end is not seen, otherwise the context.
        """
        x = F.embedding(tokens, self.token_embedding).to(self.dtype) + self.position_embedding[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.projection(self.final_norm(self._pooled(x, tokens)))

    def _pooled(self, x: Tensor, tokens: Tensor) -> Tensor:
        """x (B, N, W) -> the token that stands for each text (B, W)."""
        if not self.config.traits.causal:
            return x[:, -1]
        first_end = (tokens == self.tokenizer.end).int().argmax(dim=1)
        return x[torch.arange(len(x), device=x.device), first_end]
