"""The vision transformer of CLIP, SigLIP and their kin.

Letters: B images, N patches, T tokens, W width, D width of image_embeds, S pixels.

CLIP: https://arxiv.org/abs/2103.00020, SigLIP: https://arxiv.org/abs/2303.15343, EVA-02:
https://arxiv.org/abs/2303.11331, DINOv2: https://arxiv.org/abs/2304.07193, registers: https://arxiv.org/abs/2309.16588,
PE-Core: https://arxiv.org/abs/2504.13181.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import VisionConfig
from ..features import FEATURES, VisionFeatures
from .layers import Attention, GatedMlp, Layer, Mlp, Ops, PoolingHead, ScaledLayer
from .rotary import RotaryAttention

# Where the class token is projected:
FROM_PROJECTION = {"image_embeds", "projected_patches"}
FROM_NORM = {"cls", *FROM_PROJECTION}

WITHOUT_PROJECTION = {  # Traits.projects -> what is left without the projection; what is saved with it
    "class token": ("cls", "transformers' CLIPVisionModelWithProjection or CLIPModel"),
    "pooled": ("pooled", "its authors' own, or timm's with head.weight"),
}


class VisionEncoder(nn.Module):
    """One encoder for every row of `presets.PRESETS`, built empty; `checkpoint.load_encoder` fills it."""

    def __init__(self, config: VisionConfig, ops: Ops = nn, **factory: Any):
        super().__init__()
        c, has = config, config.traits
        self.config = c
        self.patch_embedding = ops.Conv2d(3, c.width, c.patch, stride=c.patch, bias=has.patch_bias, **factory)
        self.position_embedding = nn.Parameter(torch.empty(c.places, c.width, **factory))
        self.class_embedding = nn.Parameter(torch.empty(c.width, **factory)) if c.has_class_token else None
        self.registers = nn.Parameter(torch.empty(c.registers, c.width, **factory)) if c.registers else None
        self.pre_norm = ops.LayerNorm(c.width, eps=c.norm_eps, **factory) if has.pre_norm else nn.Identity()
        self.layers = nn.ModuleList(_layer(c, ops, **factory) for _ in range(c.depth))
        self.post_norm = ops.LayerNorm(c.width, eps=c.norm_eps, **factory)
        self.projection = (
            ops.Linear(c.width, c.projection, bias=has.projection_bias, **factory) if c.projection else None
        )
        self.head = _pooling_head(c, ops, **factory) if c.pooling_head else None

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
        class_token_only = final <= self._from_class_token and depth not in kept
        stop = depth if final else max(kept)

        x = self._embed(pixel_values)  # (B, T, W)
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
        x = x + self.position_embedding
        if self.registers is not None:
            x = torch.cat((x[:, :1], self.registers.expand(len(x), -1, -1), x[:, 1:]), dim=1)  # (B, T, W)
        return self.pre_norm(x)

    @property
    def _from_class_token(self) -> set[str]:
        """For these features alone the last layer computes no token but the first."""
        embeds = {"image_embeds"} if self.config.traits.projects == "class token" else set[str]()
        return {"cls", *embeds} if self.config.has_class_token else set()

    def _finish(self, x: Tensor, want: Collection[str]) -> dict[str, Tensor]:
        """The output of the last layer (B, T, W), or its first token alone, -> the features made of it."""
        finish = self._finish_normed if self.config.traits.normed_last else self._finish_clip
        return finish(x, want) if want else {}

    def _finish_clip(self, x: Tensor, want: Collection[str]) -> dict[str, Tensor]:
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

    def _finish_normed(self, x: Tensor, want: Collection[str]) -> dict[str, Tensor]:
        last = self.post_norm(x)
        made = {"last": last, "cls": last[:, 0], "patches": last[:, self.config.first_patch :]}
        if {"pooled", "image_embeds"} & set(want) and self.head is not None:
            made["pooled"] = made["image_embeds"] = self.head(last)  # (B, W)
            if self.config.traits.projects and self.projection is not None:
                made["image_embeds"] = self.projection(made["pooled"])  # (B, D)
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
            if reason := lack(self.config, feature):
                raise ValueError(f"{self.config.name} cannot give {feature!r}: {reason}")

    def gives(self, feature: str) -> bool:
        """Whether this encoder has a feature."""
        return feature in FEATURES and not lack(self.config, feature)

    def _check_pixels(self, pixel_values: Tensor) -> None:
        size = self.config.image_size
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != (3, size, size) or not len(pixel_values):
            raise ValueError(
                f"{self.config.name} reads pixel values of shape (B, 3, {size}, {size}) with B > 0, "
                f"not {tuple(pixel_values.shape)}. `preprocess` makes them from pictures."
            )


def _layer(config: VisionConfig, ops: Ops, **factory: Any) -> Layer:
    c, has = config, config.traits
    attention = RotaryAttention(c, ops, **factory) if has.angles else Attention(c.width, c.heads, ops, **factory)
    inner = c.norm_eps if has.inner_norms else None
    mlp = (
        GatedMlp(c.width, c.mlp_width, c.activation, inner, ops, **factory)
        if c.gated
        else Mlp(c.width, c.mlp_width, c.activation, ops, **factory)
    )
    layer = ScaledLayer if has.layer_scales else Layer
    return layer(c.width, c.norm_eps, attention, mlp, ops, **factory)


def _pooling_head(config: VisionConfig, ops: Ops, **factory: Any) -> PoolingHead:
    c, heads = config, config.traits.pooling_heads
    sizes = (heads, 4 * c.width) if heads else (c.heads, c.mlp_width)
    return PoolingHead(c.width, *sizes, c.activation, c.norm_eps, ops, **factory)


def lack(config: VisionConfig, feature: str) -> str:
    """Why an encoder has no such feature, as a sentence; empty if it has."""
    title, projects = config.traits.title, config.traits.projects
    from_head = not config.has_class_token or projects == "pooled"  # the encoder of this kind has a pooling head
    if feature == "cls" and not config.has_class_token:
        return f"{title} has no class token. Ask for pooled."
    if feature == "pooled" and not from_head:
        return f"{title} has no pooling head. Ask for cls{' or image_embeds' if projects else ''}."
    if feature == "projected_patches" and projects != "class token":
        return f"{title} has no visual projection{' of patches' if projects else ''}. Ask for patches."
    if feature == "image_embeds" and not projects and not from_head:
        return f"{title} has no visual projection. Ask for cls."
    if feature in ("image_embeds", "pooled") and from_head and not config.pooling_head:
        return (
            "its file holds no pooling head (head.*). Hidden states are there; use a file saved with the "
            "whole vision model."
        )
    if feature in FROM_PROJECTION and projects and config.projection is None:
        there, files = WITHOUT_PROJECTION[projects]
        return (
            f"its file holds no visual projection. Hidden states and {there} are there; for {feature} use a file "
            f"saved with the projection ({files})."
        )
    return ""
