"""Weights of files, and seeded random ones for ComfyUI's own classes, which leave theirs uninitialised."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load
from torch import nn

StateDict = dict[str, torch.Tensor]


def read(file: Path) -> tuple[StateDict, dict[str, str]]:
    """The weights of a model of the demo world, widened to fp32, and its metadata."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing. It comes with the repository; demo/train.py makes it anew.")
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    weights = load(file.read_bytes())  # safetensors 0.8 never frees two numbers for each tensor that is got one by one
    return {key: t.float() if t.is_floating_point() else t for key, t in weights.items()}, metadata


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, also of the Linear layers that ComfyUI fills only on loading (dynamic VRAM)."""
    found = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and layer.weight is None:
            found[f"{name}.weight"] = (layer.out_features, layer.in_features)
            if getattr(layer, "comfy_need_lazy_init_bias", False):
                found[f"{name}.bias"] = (layer.out_features,)
    return found


def random_state_dict(module: nn.Module, seed: int, gain: float = 1.0) -> StateDict:
    """Normal weights scaled by their fan-in, norms at one, biases at zero: finite through any depth."""
    generator = torch.Generator().manual_seed(seed)
    return {key: _random(key, shape, gain, generator) for key, shape in sorted(shapes(module).items())}


def _random(key: str, shape: tuple[int, ...], gain: float, generator: torch.Generator) -> torch.Tensor:
    if len(shape) > 1:
        fan_in = torch.Size(shape[1:]).numel()
        return torch.randn(shape, generator=generator) * gain / fan_in**0.5
    return torch.ones(shape) if key.endswith(("weight", "scale")) else torch.zeros(shape)
