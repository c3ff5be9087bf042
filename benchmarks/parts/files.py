"""Model files of published key names and shapes, with random values that are made quickly."""

import functools
import math
import sys
from pathlib import Path

import torch

from . import host

sys.path.append(str(host.ROOT))  # behind ComfyUI, which has a module called `nodes` too

from devtools import published  # noqa: E402

VISION = {  # width, layers, mlp, projection, patch; of pictures of 224x224
    "ViT-B/32": (768, 12, 3072, 512, 32),
    "ViT-L/14": (1024, 24, 4096, 768, 14),
    "ViT-H/14": (1280, 32, 5120, 1024, 14),
}


def vision_shapes(name: str) -> published.Shapes:
    """The shapes of a CLIP vision tower, under transformers' names."""
    return published.encoder(*VISION[name])


@functools.cache
def _block() -> torch.Tensor:
    return torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))


def random_values(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Norms 1, biases 0, weights scaled by their fan-in, the same for the same shape: billions are made in seconds."""
    if len(shape) == 1:
        return torch.full(shape, float(name.endswith("weight")))
    count, fan_in = math.prod(shape), math.prod(shape[1:])
    return (_block() / fan_in**0.5).repeat(-(-count // len(_block())))[:count].view(shape)


def write(path: Path, tensors: published.Shapes) -> None:
    """Write a file in fp16, whole or not at all."""
    published.save(path, {key: random_values(key, shape).half() for key, shape in tensors.items()})
