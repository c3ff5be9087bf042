"""The training pictures: drawn once, kept in the work folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from demo.world import PAIRS, Picture, World, draw

SEED = 1
WORLD = Path(__file__).resolve().parents[1] / "world.py"
CHUNK = 500


@dataclass(frozen=True)
class Pictures:
    scenes: list[Picture]
    pixels: Tensor  # (N, 3, 64, 64) uint8

    def batch(self, numbers: list[int]) -> Tensor:
        """The pictures with these numbers, (B, 3, 64, 64) in 0..1."""
        return self.pixels[numbers].float() / 255


def pictures(folder: Path, count: int, seed: int = SEED) -> Pictures:
    """The first `count` training pictures of a seed. Held-out combinations are not among them."""
    world = World(seed, pairs=PAIRS)
    scenes = [world.picture() for _ in range(count)]
    file = folder / f"pictures-{seed}-{count}-{digest([WORLD])}.pt"
    if file.is_file():
        return Pictures(scenes, torch.load(file, weights_only=True))
    chunks = [draw(scenes[start : start + CHUNK]) for start in range(0, count, CHUNK)]
    pixels = torch.cat([(chunk * 255).round().to(torch.uint8) for chunk in chunks])
    part = file.with_suffix(f".{os.getpid()}")
    torch.save(pixels, part)
    part.replace(file)
    return Pictures(scenes, pixels)


def digest(files: Iterable[Path]) -> str:
    """A digest of the content of files."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:12]


def draws(seed: int, step: int, batch: int, count: int) -> tuple[list[int], torch.Generator]:
    """The numbers of the pictures of one step, and a generator for the rest of it: a resumed run repeats no step."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    return torch.randint(count, (batch,), generator=generator).tolist(), generator
