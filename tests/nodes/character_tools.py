"""SigLIP and DINOv2 in transformers, as deep as InstantCharacter reads them and narrow, and the same as ours."""

import json
from functools import cache
from typing import Any

import comfy.ops
import torch
from transformers import Dinov2Config, Dinov2Model, SiglipVisionConfig, SiglipVisionModel

from image_prompt.clip_vision import load_encoder
from image_prompt.nodes.encoding.encoder import ImageEncoder

SIDE = 384
PATCH = 100  # 3 x 3 in a picture, and 84 pixels are left over, as with patches of 14
SIZES: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "patch_size": PATCH}
PUBLISHED = (  # words of transformers 5 -> those in files
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
)


def _random(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        spread = torch.randn(parameter.shape, generator=generator)
        near_one = "norm" in name and name.endswith("weight") or "layer_scale" in name
        parameter.data = 1 + 0.2 * spread if near_one else 0.2 * spread
    return model.eval()


@cache
def siglip_of_transformers() -> torch.nn.Module:
    return _random(SiglipVisionModel(SiglipVisionConfig(**SIZES, num_hidden_layers=27, image_size=SIDE)))


@cache
def dino_of_transformers(patch: int = PATCH) -> torch.nn.Module:
    sizes: dict[str, Any] = {**SIZES, "patch_size": patch, "image_size": 5 * patch}
    return _random(Dinov2Model(Dinov2Config(**sizes, num_hidden_layers=30)))


def _ours(weights: dict[str, torch.Tensor], name: str, size: int | None = None, **about: Any) -> ImageEncoder:
    described = {"vision_config": json.dumps({"heads": 4, "name": name, **about})}
    module = load_encoder(
        weights, metadata=described, ops=comfy.ops.disable_weight_init, dtype=torch.float32, image_size=size
    )
    return ImageEncoder(module, torch.device("cpu"))


@cache
def siglip() -> ImageEncoder:
    weights = siglip_of_transformers().state_dict()
    prefix = "" if any(key.startswith("vision_model.") for key in weights) else "vision_model."
    return _ours({f"{prefix}{key}": each for key, each in weights.items()}, "tiny SigLIP", image_size=SIDE)


@cache
def dino(size: int = SIDE, patch: int = PATCH) -> ImageEncoder:
    weights: dict[str, torch.Tensor] = {}
    for key, tensor in dino_of_transformers(patch).state_dict().items():
        for old, new in PUBLISHED:
            key = key.replace(old, new)
        weights[key] = tensor
    return _ours(weights, "tiny DINOv2", size)
