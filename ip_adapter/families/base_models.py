"""The table of diffusion models for which there are adapters: the sizes that an adapter has to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .layer_sets import CSGO, FLUX, SD15, SDXL, LayerSets


@dataclass(frozen=True)
class BaseModel:
    """A diffusion model, as far as an adapter has to fit it.

    layers: number of blocks in which an adapter acts: the cross-attentions of a UNet, the double blocks of Flux
    context_width: width of the tokens that these blocks take
    vector_width: width of the vector that is added to the timestep; 0 if there is none
    layer_sets: named sets of these blocks
    host: its architecture, as `Family.host` names it
    first, step: how files number the layers. Files for UNets give the even numbers to self-attentions
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
        """The numbers that the layers have in files, in order."""
        return range(self.first, self.first + self.step * self.layers, self.step)


BASE_MODELS = (  # where layers are equal (SDXL, Kolors), the first row is assumed if nothing but the layers is known
    BaseModel("SD1.5", 16, 768, 0, SD15),
    BaseModel("SDXL", 70, 2048, 2816, SDXL),
    BaseModel("Kolors", 70, 2048, 5632, SDXL),
    BaseModel("Flux", 19, 4096, 768, FLUX, host="flux", first=0, step=1),
)

LAYER_SETS: Mapping[str, LayerSets] = MappingProxyType(  # name of a base model, or `Family.layer_sets` -> its sets
    {base.name: base.layer_sets for base in BASE_MODELS} | {"CSGO": CSGO}
)
