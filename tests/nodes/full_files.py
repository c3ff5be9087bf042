"""A narrow CLIP of transformers with both encoders, as the full file that holds it."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

COMMON = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "num_hidden_layers": 2}
IMAGE = {"image_size": 32, "patch_size": 8}
TEXT = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407}
DESCRIPTION = {"vision_config": json.dumps({"heads": 4, "activation": "quick_gelu", "name": "full CLIP"})}


def full_clip(seed: int = 0) -> CLIPModel:
    config = CLIPConfig(text_config=COMMON | TEXT, vision_config=COMMON | IMAGE, projection_dim=24)
    generator = torch.Generator().manual_seed(seed)
    model = CLIPModel(config).eval()
    for name, parameter in model.named_parameters():
        spread = torch.randn(parameter.shape, generator=generator) * (0.2 if parameter.ndim < 2 else 0.15)
        parameter.data = spread + (parameter.ndim == 1 and "norm" in name and name.endswith("weight"))
    model.logit_scale.data = torch.tensor(3.0)
    return model


def save(model: CLIPModel, path: Path, left_out: str = "nothing") -> None:
    """left_out: the beginning of names of weights that the file lacks"""
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith(left_out)}
    save_file(weights, path, DESCRIPTION)
