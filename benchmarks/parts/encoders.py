"""Image encoders with random weights of published shapes, as ours, as ComfyUI's own and as transformers'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import comfy.clip_vision
import torch
import transformers

from image_prompt import clip_vision

CLIP, SIGLIP = "clip_vision_model", "siglip_vision_model"
WANT = {CLIP: ("image_embeds", "penultimate"), SIGLIP: ("last",)}

Encode = Callable[[torch.Tensor], object]


@dataclass(frozen=True)
class EncoderShape:
    """The sizes of an encoder. projection: width of image_embeds, 0 without them"""

    name: str
    kind: str
    width: int
    layers: int
    heads: int
    mlp: int
    patch: int
    side: int
    projection: int = 0

    @property
    def flops(self) -> float:
        """The FLOPs of encoding one picture, without a pooling head."""
        patches = (self.side // self.patch) ** 2
        tokens = patches + (self.kind == CLIP)
        per_layer = 2 * tokens * (4 * self.width**2 + 2 * self.width * self.mlp) + 4 * tokens**2 * self.width
        return self.layers * per_layer + 2 * patches * 3 * self.patch**2 * self.width

    @property
    def config(self) -> dict[str, Any]:
        """As transformers and ComfyUI read it."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.mlp,
            "patch_size": self.patch,
            "image_size": self.side,
            "hidden_act": "gelu" if self.kind == CLIP else "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-5 if self.kind == CLIP else 1e-6,
            **({"projection_dim": self.projection} if self.projection else {}),
        }


ENCODERS = (
    EncoderShape("CLIP ViT-H/14", CLIP, 1280, 32, 16, 5120, 14, 224, 1024),
    EncoderShape("SigLIP so400m/14-384", SIGLIP, 1152, 27, 16, 4304, 14, 384),
)
TINY = tuple(
    replace(
        each,
        name=f"{each.name}, tiny",
        width=128,
        layers=2,
        heads=2,
        mlp=256,
        side=56,
        projection=64 * bool(each.projection),
    )
    for each in ENCODERS
)


def reference(shape: EncoderShape) -> transformers.PreTrainedModel:
    """transformers' model with random weights."""
    torch.manual_seed(0)
    if shape.kind == CLIP:
        config = transformers.CLIPVisionConfig(**shape.config, attn_implementation="sdpa")
        return transformers.CLIPVisionModelWithProjection(config).eval().requires_grad_(False)
    config = transformers.SiglipVisionConfig(**shape.config, vision_use_head=False, attn_implementation="sdpa")
    return transformers.SiglipVisionModel(config).eval().requires_grad_(False)


def core(shape: EncoderShape, sd: dict[str, torch.Tensor]) -> Encode:
    config = {**shape.config, "num_channels": 3, "model_type": shape.kind}
    if shape.kind == SIGLIP:
        config |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    encoder = comfy.clip_vision.ClipVisionModel(config)
    encoder.load_sd(sd)
    return encoder.encode_image


def candidates(shape: EncoderShape, dtype: torch.dtype, device: str) -> dict[str, Encode]:
    """What encodes pictures (B, H, W, 3) in main memory, by name."""
    model = reference(shape)
    sd = model.state_dict()
    theirs = model.to(dtype=dtype, device=device)
    encoder = clip_vision.load_encoder(sd, dtype=dtype, device=device)
    config = encoder.config

    def library(images: torch.Tensor) -> object:
        return clip_vision.encode(encoder, images, want=WANT[shape.kind])

    def transformers_(images: torch.Tensor) -> object:
        pixel_values = clip_vision.preprocess(images, config.image_size, config.mean, config.std)
        return theirs(pixel_values.to(device=device, dtype=dtype), output_hidden_states=True)

    return {"library": library, "core": core(shape, sd), "transformers": transformers_}


def pictures(batch: int) -> torch.Tensor:
    return torch.rand(batch, 512, 512, 3, generator=torch.Generator().manual_seed(0))
