"""Make CLIP and SigLIP in transformers, narrow or in full shape, to compare ours with, and convert their weights."""

import json
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, SiglipVisionConfig, SiglipVisionModel

from image_prompt.clip_vision import PRESETS, Preset

ROWS = {row.name: row for row in PRESETS}


def narrow_config(row: Preset, layers: int = 3) -> dict[str, Any]:
    """The config of a preset with its heads, patches and picture size, but few layers and heads only 8 wide."""
    width = 8 * row.heads
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": row.heads,
        "intermediate_size": width * row.mlp_width // row.width,
        "patch_size": row.patch,
        "image_size": row.image_size,
        "hidden_act": row.activation,
        "projection_dim": 24,
    }


def full_config(row: Preset, projection: int = 512) -> dict[str, Any]:
    return {
        "hidden_size": row.width,
        "num_hidden_layers": row.depth,
        "num_attention_heads": row.heads,
        "intermediate_size": row.mlp_width,
        "patch_size": row.patch,
        "image_size": row.image_size,
        "hidden_act": row.activation,
        "projection_dim": projection,
    }


def empty(kind: str, config: dict[str, Any]) -> torch.nn.Module:
    if kind == "clip":
        return CLIPVisionModelWithProjection(CLIPVisionConfig(**config)).eval()
    return SiglipVisionModel(SiglipVisionConfig(**{k: v for k, v in config.items() if k != "projection_dim"})).eval()


def narrow(row: Preset, layers: int = 3) -> torch.nn.Module:
    """A narrow encoder with random weights that leave no activation in its linear part."""
    model = empty(row.kind, narrow_config(row, layers))
    for name, parameter in model.named_parameters():
        spread = torch.randn(parameter.shape)
        is_norm = parameter.ndim == 1 and name.endswith("weight") and "class_embedding" not in name
        parameter.copy_(1 + 0.2 * spread if is_norm else spread * (0.2 if parameter.ndim < 2 else 0.15))
    return model


def state_dict(model: torch.nn.Module) -> dict[str, Tensor]:
    """The state dict as files hold it: the vision model under its prefix."""
    sd = model.state_dict()
    bare = "embeddings.patch_embedding.weight" in sd
    return {f"vision_model.{key}" if bare else key: tensor for key, tensor in sd.items()}


def description(row: Preset) -> dict[str, str]:
    """The metadata by which a narrow file must describe itself."""
    facts = {
        "heads": row.heads,
        "activation": row.activation,
        "image_size": row.image_size,
        "mean": row.mean,
        "std": row.std,
        "name": row.name,
    }
    return {"vision_config": json.dumps(facts)}


def pixels(row: Preset, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, row.image_size, row.image_size)


def to_openclip(sd: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert CLIP from the transformers layout to `visual.*` of OpenCLIP and OpenAI."""
    v = "vision_model."
    out = {
        "visual.class_embedding": sd[v + "embeddings.class_embedding"],
        "visual.positional_embedding": sd[v + "embeddings.position_embedding.weight"],
        "visual.conv1.weight": sd[v + "embeddings.patch_embedding.weight"],
        "visual.proj": sd["visual_projection.weight"].t().contiguous(),
    }
    for kind in ("weight", "bias"):
        out[f"visual.ln_pre.{kind}"] = sd[f"{v}pre_layrnorm.{kind}"]
        out[f"visual.ln_post.{kind}"] = sd[f"{v}post_layernorm.{kind}"]
        for n in range(sum(key.endswith("mlp.fc1.weight") for key in sd)):
            old, new = f"{v}encoder.layers.{n}.", f"visual.transformer.resblocks.{n}."
            out[f"{new}attn.in_proj_{kind}"] = torch.cat([sd[f"{old}self_attn.{x}_proj.{kind}"] for x in "qkv"])
            out[f"{new}attn.out_proj.{kind}"] = sd[f"{old}self_attn.out_proj.{kind}"]
            out[f"{new}ln_1.{kind}"] = sd[f"{old}layer_norm1.{kind}"]
            out[f"{new}ln_2.{kind}"] = sd[f"{old}layer_norm2.{kind}"]
            out[f"{new}mlp.c_fc.{kind}"] = sd[f"{old}mlp.fc1.{kind}"]
            out[f"{new}mlp.c_proj.{kind}"] = sd[f"{old}mlp.fc2.{kind}"]
    return out


def openclip_text(width: int = 16) -> dict[str, Tensor]:
    """The text model of an OpenCLIP or OpenAI file, at the top level as in those files."""
    block = "transformer.resblocks.0."
    return {
        "token_embedding.weight": torch.randn(30, width),
        "positional_embedding": torch.randn(7, width),
        "text_projection": torch.randn(width, 24),
        "logit_scale": torch.tensor(4.6),
        "ln_final.weight": torch.ones(width),
        "ln_final.bias": torch.zeros(width),
        f"{block}attn.in_proj_weight": torch.randn(3 * width, width),
        f"{block}attn.in_proj_bias": torch.randn(3 * width),
        f"{block}ln_1.weight": torch.ones(width),
        f"{block}mlp.c_fc.weight": torch.randn(4 * width, width),
    }


def openai_numbers() -> dict[str, Tensor]:
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    return {key: torch.tensor(value) for key, value in numbers.items()}
