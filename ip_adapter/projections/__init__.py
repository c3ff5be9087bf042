"""Image features -> image tokens: one network a file."""

from .linear import LinearProjection
from .mlp import TokenMLP
from .resampler import Resampler

__all__ = ["LinearProjection", "Projection", "Resampler", "TokenMLP"]

Projection = LinearProjection | TokenMLP | Resampler
