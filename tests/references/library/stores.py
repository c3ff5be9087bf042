"""Libraries of made-up pictures for the tests."""

from pathlib import Path

import numpy as np

from image_prompt.references.library import NewPicture
from image_prompt.references.space import Space

SPACE = Space("CLIP ViT-B/32", 16)
ROOT = Path("/pictures")


def vectors(count: int, seed: int = 0, dimension: int = 16) -> np.ndarray:
    """(count, dimension) of length 1, fp32."""
    drawn = np.random.default_rng(seed).standard_normal((count, dimension))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def picture(number: int, root: Path = ROOT, **fields) -> NewPicture:
    path = f"folder {number % 3}/{number:05}.png"
    values = dict(path=path, size=number, mtime_ns=number, sha256=f"{number:064x}", width=8, height=4, hash64=number)
    return NewPicture(root, **{**values, **fields})


def pictures(*numbers: int) -> list[NewPicture]:
    return [picture(number) for number in numbers]
