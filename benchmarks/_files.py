"""Model files of published key names and shapes, with random values."""

import functools
import json
import math
import os
from pathlib import Path

import _host as host
import torch
from safetensors.torch import save_file

PUBLISHED = host.ROOT / "tests" / "checkpoints"
VISION = {  # width, layers, mlp, patch, projection; of pictures of 224x224
    "ViT-B/32": (768, 12, 3072, 32, 512),
    "ViT-L/14": (1024, 24, 4096, 14, 768),
}

Shapes = dict[str, tuple[int, ...]]


def adapter_shapes(name: str) -> Shapes:
    """Of a published adapter: the name of a file in tests/checkpoints."""
    parts = json.loads((PUBLISHED / f"{name}.json").read_text())["tensors"]
    return {f"{part}.{key}": tuple(shape) for part, keys in parts.items() for key, shape in keys.items()}


def vision_shapes(name: str) -> Shapes:
    """Of a CLIP vision tower, in transformers' names."""
    width, layers, mlp, patch, projection = VISION[name]
    norm, square = {"weight": (width,), "bias": (width,)}, {"weight": (width, width), "bias": (width,)}
    layer = {"layer_norm1": norm, "layer_norm2": norm}
    layer |= {f"self_attn.{part}_proj": square for part in ("q", "k", "v", "out")}
    layer |= {
        "mlp.fc1": {"weight": (mlp, width), "bias": (mlp,)},
        "mlp.fc2": {"weight": (width, mlp), "bias": (width,)},
    }
    modules = {f"encoder.layers.{number}.{part}": each for number in range(layers) for part, each in layer.items()}
    modules |= {
        "embeddings": {"class_embedding": (width,)},
        "embeddings.patch_embedding": {"weight": (width, 3, patch, patch)},
        "embeddings.position_embedding": {"weight": ((224 // patch) ** 2 + 1, width)},
        "pre_layrnorm": norm,
        "post_layernorm": norm,
    }
    tower = {f"vision_model.{part}.{key}": shape for part, each in modules.items() for key, shape in each.items()}
    return {**tower, "visual_projection.weight": (projection, width)}


@functools.cache
def _block() -> torch.Tensor:
    return torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))


def random_values(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Norms 1, biases 0, weights scaled by their fan-in, the same for the same shape: billions are made in seconds."""
    if len(shape) == 1:
        return torch.full(shape, float(name.endswith("weight")))
    count, fan_in = math.prod(shape), math.prod(shape[1:])
    return (_block() / fan_in**0.5).repeat(-(-count // len(_block())))[:count].view(shape)


def random_tensors(shapes: Shapes) -> dict[str, torch.Tensor]:
    """In fp16."""
    return {key: random_values(key, shape).half() for key, shape in shapes.items()}


def write(path: Path, shapes: Shapes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(random_tensors(shapes), part)
    os.replace(part, path)
