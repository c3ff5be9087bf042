"""The networks of one layer of an adapter: image tokens -> the key and the value that a block of the model attends to.

Each has `from_shapes(sd, ops=, device=, dtype=)`, which counts its sizes in the tensors of one layer of a file, and
attributes that are named like the keys there after `containers.SPELLINGS` has renamed them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from .normed import NormedKeyValue
from .plain import ImageKeyValue

__all__ = ["LAYERS", "ImageKeyValue", "KeyValueNetwork", "LayerKind", "NormedKeyValue"]


class KeyValueNetwork(Protocol):
    """What makes keys and values, before sampling unless the tokens follow the timestep.

    context_width: C, of the tokens that it takes
    width: I, of the keys and values
    """

    context_width: int
    width: int

    def __call__(self, tokens: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Image tokens (B, T, C) -> key and value, (B, T, I) each. embedding: of the timestep, (B, E), if it is used"""
        ...


@dataclass(frozen=True)
class LayerKind:
    """A kind of layer, one row of `LAYERS`.

    projecting: makes the network that turns tokens into keys and values
    sampling: makes the network that has to be there while the model runs; None: nothing has
    """

    projecting: Callable[..., Any]
    sampling: Callable[..., Any] | None = None


LAYERS: Mapping[str, LayerKind] = {  # `Family.layer` -> the networks
    "plain": LayerKind(ImageKeyValue.from_shapes),
    "normed": LayerKind(NormedKeyValue.from_shapes),
}
