"""The networks that turn image features into image tokens, one in each file."""

from .linear import LinearProjection
from .mlp import TokenMLP
from .resampler import Resampler

__all__ = ["LinearProjection", "Projection", "Resampler", "TokenMLP"]

Projection = LinearProjection | TokenMLP | Resampler
