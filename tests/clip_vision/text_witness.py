"""Make full models of CLIP and SigLIP in transformers, narrow, to compare text encoders with, and other layouts."""

import json
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel
from witness import to_openclip

IMAGE = {"image_size": 32, "patch_size": 16, "num_hidden_layers": 1}


def clip(
    width: int, heads: int, depth: int = 2, projection: int = 24, activation: str = "quick_gelu", **text: Any
) -> CLIPModel:
    """CLIP with random weights. Its image encoder has heads as wide as those of its text encoder."""
    common = {"hidden_size": width, "num_attention_heads": heads, "hidden_act": activation, "intermediate_size": 48}
    sizes = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "num_hidden_layers": depth}
    text, vision = {**common, **sizes, **text}, {**common, **IMAGE}
    return fill(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)))


def siglip(width: int, heads: int, vocabulary: int, pad: int, projection: int | None = None) -> SiglipModel:
    common = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 48, "num_hidden_layers": 2}
    text = {**common, "vocab_size": vocabulary, "pad_token_id": pad, "projection_size": projection or width}
    return fill(SiglipModel(SiglipConfig(text_config=text, vision_config={**common, **IMAGE})))


def fill(model: Any) -> Any:
    """Weights that leave no activation in its linear part."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = torch.randn(parameter.shape)
            is_norm = parameter.ndim == 1 and "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.2 * spread if is_norm else spread * (0.2 if parameter.ndim < 2 else 0.15))
    return model.eval()


def description(model: Any) -> dict[str, str]:
    """The metadata by which a narrow file describes itself."""
    vision = model.config.vision_config
    return {"vision_config": json.dumps({"heads": vision.num_attention_heads, "activation": vision.hidden_act})}


def openclip(sd: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """CLIP from the transformers layout to that of OpenCLIP and OpenAI. prefix: of the text encoder, "" or "text."."""
    images = to_openclip({key: tensor for key, tensor in sd.items() if key.startswith(("vision_model.", "visual_"))})
    t = "text_model."
    out = {
        "token_embedding.weight": sd[t + "embeddings.token_embedding.weight"],
        "positional_embedding": sd[t + "embeddings.position_embedding.weight"],
        "text_projection": sd["text_projection.weight"].t().contiguous(),
    }
    for kind in ("weight", "bias"):
        out[f"ln_final.{kind}"] = sd[f"{t}final_layer_norm.{kind}"]
        for n in range(sum(key.startswith(t) and key.endswith("mlp.fc1.weight") for key in sd)):
            old, new = f"{t}encoder.layers.{n}.", f"transformer.resblocks.{n}."
            out[f"{new}attn.in_proj_{kind}"] = torch.cat([sd[f"{old}self_attn.{x}_proj.{kind}"] for x in "qkv"])
            for theirs, ours in {
                "self_attn.out_proj": "attn.out_proj",
                "layer_norm1": "ln_1",
                "layer_norm2": "ln_2",
                "mlp.fc1": "mlp.c_fc",
                "mlp.fc2": "mlp.c_proj",
            }.items():
                out[f"{new}{ours}.{kind}"] = sd[f"{old}{theirs}.{kind}"]
    return images | {prefix + key: tensor for key, tensor in out.items()} | {"logit_scale": sd["logit_scale"]}
