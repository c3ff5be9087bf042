"""The vision transformer of CLIP, SigLIP and their kin.

Letters: B images, N patches, W width, D width of image_embeds, S pixels.

CLIP: https://arxiv.org/abs/2103.00020, SigLIP: https://arxiv.org/abs/2303.15343.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import VisionConfig
from .eva import EvaLayer
from .features import FEATURES, VisionFeatures
from .layers import Layer, Ops, PoolingHead

# Where there is a class token:
FROM_CLASS_TOKEN = {"image_embeds", "cls"}  # for these alone the last layer computes no other token
FROM_PROJECTION = {"image_embeds", "projected_patches"}
FROM_NORM = {"cls", *FROM_PROJECTION}


class VisionEncoder(nn.Module):
    """One encoder for every row of `presets.PRESETS`, built empty; `checkpoint.load_encoder` fills it."""

    def __init__(self, config: VisionConfig, ops: Ops = nn, **factory: Any):
        super().__init__()
        c, has = config, config.traits
        self.config = c
        block = (c.width, c.heads, c.mlp_width, c.activation, c.norm_eps, ops)
        layer = partial(EvaLayer, grid=c.grid) if has.rotary else Layer
        self.patch_embedding = ops.Conv2d(3, c.width, c.patch, stride=c.patch, bias=has.patch_bias, **factory)
        self.position_embedding = nn.Parameter(torch.empty(c.tokens, c.width, **factory))
        self.class_embedding = nn.Parameter(torch.empty(c.width, **factory)) if has.class_token else None
        self.pre_norm = ops.LayerNorm(c.width, eps=c.norm_eps, **factory) if has.pre_norm else nn.Identity()
        self.layers = nn.ModuleList(layer(*block, **factory) for _ in range(c.depth))
        self.post_norm = ops.LayerNorm(c.width, eps=c.norm_eps, **factory)
        self.projection = (
            ops.Linear(c.width, c.projection, bias=has.projection_bias, **factory) if c.projection else None
        )
        self.head = PoolingHead(*block, **factory) if c.pooling_head else None

    @property
    def weight_device(self) -> torch.device:  # `device` belongs to a host that moves the module
        return self.position_embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.position_embedding.dtype

    def forward(
        self, pixel_values: Tensor, want: Collection[str] = ("image_embeds",), hidden_layers: Iterable[int] = ()
    ) -> VisionFeatures:
        """Normalised pictures (B, 3, S, S) -> the features named in `want`, in the dtype of the weights.

        Layers that no wanted feature needs are not run. `hidden_layers` are indices into transformers' `hidden_states`,
        -depth-1..depth. ValueError: an unknown feature, one that this encoder does not have, an index out of range, no
        feature at all, pictures of another shape.
        """
        indices = {index: self._hidden_index(index) for index in hidden_layers}
        self.check_want(want, indices)
        self._check_pixels(pixel_values)
        depth = self.config.depth
        kept = set(indices.values()) | ({depth - 1} if "penultimate" in want else set[int]())
        final = set(want) - {"penultimate"}
        class_token_only = self.config.has_class_token and final <= FROM_CLASS_TOKEN and depth not in kept
        stop = depth if final else max(kept)

        x = self._embed(pixel_values)  # (B, N [+ 1], W)
        states = {0: x} if 0 in kept else {}
        for number, layer in enumerate(self.layers[:stop], start=1):
            x = layer(x, rows=1 if number == depth and class_token_only else None)
            if number in kept:
                states[number] = x
        return VisionFeatures(
            **self._finish(x, final),
            penultimate=states[depth - 1] if "penultimate" in want else None,
            hidden={index: states[number] for index, number in indices.items()} or None,
            others=None,
            encoder=self.config.name,
        )

    def _embed(self, pixel_values: Tensor) -> Tensor:
        x = self.patch_embedding(pixel_values.to(self.dtype)).flatten(2).transpose(1, 2)  # (B, N, W)
        if self.class_embedding is not None:
            x = torch.cat((self.class_embedding.expand(len(x), 1, -1), x), dim=1)  # (B, N + 1, W)
        return self.pre_norm(x + self.position_embedding)

    def _finish(self, x: Tensor, want: Collection[str]) -> dict[str, Tensor]:
        """The output of the last layer (B, N [+ 1], W), or its first token alone, -> the features made of it."""
        finish = self._finish_class_token if self.config.has_class_token else self._finish_siglip
        return finish(x, want) if want else {}

    def _finish_class_token(self, x: Tensor, want: Collection[str]) -> dict[str, Tensor]:
        made = {"last": x, "patches": x[:, 1:]}
        if not FROM_NORM.isdisjoint(want):
            normed = self.post_norm(x if "projected_patches" in want else x[:, :1])  # (B, N + 1 or 1, W)
            made["cls"] = normed[:, 0]
            if not FROM_PROJECTION.isdisjoint(want) and self.projection is not None:
                projected = self.projection(normed)  # (B, N + 1 or 1, D)
                if self.config.traits.normalised:
                    projected = F.normalize(projected, dim=-1)
                made["projected_patches"], made["image_embeds"] = projected, projected[:, 0]
        return {name: made[name] for name in want}

    def _finish_siglip(self, x: Tensor, want: Collection[str]) -> dict[str, Tensor]:
        last = self.post_norm(x)
        made = {"last": last, "patches": last}
        if {"pooled", "image_embeds"} & set(want) and self.head is not None:
            made["pooled"] = made["image_embeds"] = self.head(last)  # (B, W)
        return {name: made[name] for name in want}

    def _hidden_index(self, index: int) -> int:
        depth = self.config.depth
        if not -depth - 1 <= index <= depth:
            raise ValueError(f"Hidden layer {index} of {self.config.name}: it has {-depth - 1} to {depth}.")
        return index % (depth + 1)

    def check_want(self, want: Collection[str], hidden_layers: Collection[int] = ()) -> None:
        """Refuse features that this encoder does not give, as `forward` does."""
        if isinstance(want, str):
            raise ValueError(f"`want` is a collection of names: give ({want!r},) for {want!r}.")
        if not isinstance(cast(object, want), Collection):  # a generator would be used up here
            raise ValueError(f"`want` is a collection of names, such as a tuple, not of type {type(want).__name__}.")
        if not want and not hidden_layers:
            raise ValueError(f"No feature was asked for. Name some of {', '.join(FEATURES)}, or hidden layers.")
        for feature in want:
            if feature not in FEATURES:
                raise ValueError(f"Unknown feature {feature!r}. Known: {', '.join(FEATURES)}.")
            if reason := self._lack(feature):
                raise ValueError(f"{self.config.name} cannot give {feature!r}: {reason}")

    def _lack(self, feature: str) -> str:
        """Why this encoder has no such feature; empty if it has."""
        config, title = self.config, self.config.traits.title
        if feature in FROM_PROJECTION and config.has_class_token and config.projection is None:
            return (
                f"its file holds no visual projection. Hidden states and cls are there; for {feature} use a file "
                "saved with the projection (transformers' CLIPVisionModelWithProjection or CLIPModel)."
            )
        if feature in ("image_embeds", "pooled") and not config.has_class_token and not config.pooling_head:
            return (
                "its file holds no pooling head (head.*). Hidden states are there; use a file saved with the "
                "whole vision model."
            )
        if feature == "pooled" and config.has_class_token:
            return f"{title} has no pooling head. Ask for cls or image_embeds."
        if feature == "cls" and not config.has_class_token:
            return f"{title} has no class token. Ask for pooled."
        if feature == "projected_patches" and not config.has_class_token:
            return f"{title} has no visual projection. Ask for patches."
        return ""

    def _check_pixels(self, pixel_values: Tensor) -> None:
        size = self.config.image_size
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != (3, size, size) or not len(pixel_values):
            raise ValueError(
                f"{self.config.name} reads pixel values of shape (B, 3, {size}, {size}) with B > 0, "
                f"not {tuple(pixel_values.shape)}. `preprocess` makes them from pictures."
            )
