"""What every recipe is given, and how modules start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Setting:
    folder: Path  # states, caches
    models: Path  # finished files
    device: torch.device
    seed: int
    steps: int | None  # instead of the recipe's own
    pictures: int
    rank: int = 0  # of this process among `processes`, which share every batch
    processes: int = 1

    def finished(self, folder: str) -> Path:
        """The file of an earlier model that this one is trained with."""
        return self.models / folder / "demo_world.safetensors"

    def batch(self, whole: int) -> int:
        return max(1, whole // self.processes)


def initialise(module: nn.Module, seed: int) -> nn.Module:
    """Give a module torch's own initial weights: ComfyUI's layers leave theirs uninitialised."""
    torch.manual_seed(seed)
    for layer in module.modules():
        for kind in LAYERS:
            if isinstance(layer, kind):
                kind.reset_parameters(layer)
    return module
