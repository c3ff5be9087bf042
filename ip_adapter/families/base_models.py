"""The table of diffusion models for which there are adapters: the sizes that an adapter has to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .kinds import Kind
from .layer_sets import CSGO, DIT, SD15, SDXL, LayerSets


@dataclass(frozen=True)
class BaseModel:
    """A diffusion model, as far as an adapter has to fit it.

    blocks: how many layers of an adapter can act in its blocks of each kind: in a UNet one in each cross-attention,
        elsewhere one in each block
    context_width: width of the tokens that these blocks take
    vector_width: width of the vector that is added to the timestep; 0 if there is none
    layer_sets: named sets of these blocks
    host: its architecture, as `Family.host` names it
    first, step: how files number the layers. Files for UNets give the even numbers to self-attentions
    """

    name: str
    blocks: Mapping[Kind, int]
    context_width: int
    vector_width: int
    layer_sets: LayerSets
    host: str = "unet"
    first: int = 1
    step: int = 2

    @property
    def layers(self) -> int:
        """How many layers of an adapter can act in all its blocks."""
        return sum(self.blocks.values())

    def count(self, every: Mapping[Kind, int]) -> int:
        """How many layers an adapter has that acts in some of its blocks. every: as `Family.blocks`"""
        return sum(-(-self.blocks[kind] // step) for kind, step in every.items())

    def numbers(self, every: Mapping[Kind, int]) -> range:
        """The numbers that the layers of such an adapter have in files, in order."""
        return range(self.first, self.first + self.step * self.count(every), self.step)


SDXL_BLOCKS: Mapping[Kind, int] = MappingProxyType({"input": 24, "output": 36, "middle": 10})
FLUX_BLOCKS: Mapping[Kind, int] = MappingProxyType({"double": 19, "single": 38})

BASE_MODELS = (  # where layers are equal (SDXL, Kolors), the first row is assumed if nothing but the layers is known
    BaseModel("SD1.5", {"input": 6, "output": 9, "middle": 1}, 768, 0, SD15),
    BaseModel("SDXL", SDXL_BLOCKS, 2048, 2816, SDXL),
    BaseModel("Kolors", SDXL_BLOCKS, 2048, 5632, SDXL),
    BaseModel("Flux", FLUX_BLOCKS, 4096, 768, DIT, host="flux", first=0, step=1),
    BaseModel("Chroma", FLUX_BLOCKS, 4096, 0, DIT, host="flux", first=0, step=1),
    BaseModel("SD3.5 Large", {"joint": 38}, 4096, 2048, DIT, host="sd3", first=0, step=1),
    BaseModel("Anima", {"block": 28}, 1024, 0, DIT, host="anima", first=0, step=1),
)

LAYER_SETS: Mapping[str, LayerSets] = MappingProxyType(  # name of a base model, or `Family.layer_sets` -> its sets
    {base.name: base.layer_sets for base in BASE_MODELS} | {"CSGO": CSGO}
)
