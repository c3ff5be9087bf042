"""The networks of the layers of adapters, which turn image tokens into keys and values, one kind in each row.

Each has `from_shapes(sd, ops=, device=, dtype=)`, which counts its sizes in the tensors of one layer. Its attributes
are named like the keys of a file after `containers.SPELLINGS` has renamed them. `projecting(tokens, embedding)` makes
the key and the value, `width` wide; `embedding` is of the timestep, and only those that follow it need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .normed import CharacterKeyValue, CharacterQuery, NormedKeyValue
from .perceiver import PerceiverKeyValue, PerceiverQuery
from .plain import ImageKeyValue
from .timed import Gate, TimedKeyValue, TimedNorms

__all__ = ["LAYERS", "LayerKind", "Projecting", "Sampling"]

Projecting = ImageKeyValue | PerceiverKeyValue  # the others are kinds of the first
Sampling = CharacterQuery | TimedNorms | Gate | PerceiverQuery


@dataclass(frozen=True)
class LayerKind:
    """The two networks of a layer. They share no tensor.

    projecting: makes the key and the value of the tokens, and is not needed any more when they are made
    sampling: what has to be there in every step besides them; None if nothing has
    """

    projecting: type[Projecting]
    sampling: type[Sampling] | None = None


LAYERS: Mapping[str, LayerKind] = {  # `Family.layer` -> its networks
    "plain": LayerKind(ImageKeyValue),
    "normed": LayerKind(NormedKeyValue),
    "character": LayerKind(CharacterKeyValue, CharacterQuery),
    "timed": LayerKind(TimedKeyValue, TimedNorms),
    "gated": LayerKind(ImageKeyValue, Gate),
    "perceiver": LayerKind(PerceiverKeyValue, PerceiverQuery),
}
