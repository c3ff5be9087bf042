"""One row per diffusion model for which there are adapters, as its adapters see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .layer_sets import FLUX, SD15, SDXL, LayerSets


@dataclass(frozen=True)
class BaseModel:
    """What a family of adapters has to fit.

    layers: how many places there are in which an adapter acts: a UNet's cross-attentions, the double blocks of Flux.
    context_width: of the tokens that they take. vector_width: of the vector that joins the timestep (0: there is none).
    host: which architecture it is of, the word of `Family.host`. first, step: how files number the layers; those of
    UNets give the even numbers to self-attentions.
    """

    name: str
    layers: int
    context_width: int
    vector_width: int
    layer_sets: LayerSets
    host: str = "unet"
    first: int = 1
    step: int = 2

    @property
    def numbers(self) -> range:
        """The numbers of the layers in files, in order."""
        return range(self.first, self.first + self.step * self.layers, self.step)


KOLORS = BaseModel("Kolors", 70, 2048, 5632, SDXL)

BASE_MODELS = (  # of those whose layers are alike, the one that layers alone stand for first
    BaseModel("SD1.5", 16, 768, 0, SD15),
    BaseModel("SDXL", 70, 2048, 2816, SDXL),
    KOLORS,
    BaseModel("Flux", 19, 4096, 768, FLUX, host="flux", first=0, step=1),
)

LAYER_SETS: Mapping[str, LayerSets] = MappingProxyType({base.name: base.layer_sets for base in BASE_MODELS})
