"""The image prompts that act on a model: their keys and values, how strongly they act, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from comfy.model_patcher import ModelPatcher

from ...ip_adapter import SCALINGS, Acts, Block, Combine, Frame, IPAdapter, Share, Strength
from .masks import EVERYWHERE, Place
from .prepared import Arrangement, Prepared
from .sampling import Evaluation


@dataclass(frozen=True)
class Site:
    """A place in a model where a layer of an adapter can act: a block, and the number of its attention heads.

    acts: where in the block, as `Family.acts`
    patch_size: side of the square of latent pixels that is one token, if this is the same in all blocks of the model
    """

    block: Block
    heads: int
    acts: Acts = "attention"
    patch_size: int = 1


@dataclass(frozen=True)
class Rules:
    """What our nodes and those of other packs do differently with batches and conditions.

    beyond: which reference, mask and weight a picture takes whose number is beyond them: they begin again ("cycle"),
        the last one holds ("hold"), or there must be one for each picture ("refuse")
    negative: which conditions are negative: those that the guider calls so, or always the second ones
    """

    beyond: Literal["cycle", "hold", "refuse"] = "cycle"
    negative: Literal["named", "second"] = "named"

    def number(self, picture: int, count: int) -> int:
        """Which of so many references, masks or weights a picture takes, by its number."""
        return min(picture, count - 1) if self.beyond == "hold" else picture % count


OURS = Rules()


@dataclass(frozen=True)
class AdapterLora:
    """The LoRA of an adapter, and how strongly it acts."""

    adapter: IPAdapter
    strength: float


@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """One image prompt that acts on a model. All its layers share it, and nothing changes it.

    prepared: keys and values, which prompts of the same picture may share
    layers: number of the adapter's layer at each site of the model, in the order of `prepared`
    strength: how strongly it acts, in which layers, and when
    place: where in the picture it acts
    arrangement: how its references act; in `prepared` they are joined if they act together
    rules: what it does with pictures beyond its references, masks and weights, and which conditions are negative
    title: what people call it
    names: what people call its references, in order; their number says how many it has
    combine: how it joins the text attention
    lora: the LoRA that acts together with it, on the whole model
    sites: all places in the model where its adapter has a layer, also those in which it does not act
    """

    prepared: Prepared
    layers: Mapping[Site, int]
    strength: Strength
    place: Place = EVERYWHERE
    arrangement: Arrangement = "together"
    rules: Rules = OURS
    title: str = ""
    names: tuple[str, ...] = ()
    combine: Combine = "add"
    lora: AdapterLora | None = None
    sites: frozenset[Site] = frozenset()

    @property
    def tokens(self) -> int:
        """How many tokens all its references have."""
        return self.prepared.tokens * max(len(self.names), 1)

    @property
    def differs_by_picture(self) -> bool:
        """Whether it matters which pictures of the batch a call of the model is about."""
        by_row = self.arrangement == "by picture"
        references = by_row and any(self.prepared.side(name).rows > 1 for name in ("cond", "uncond"))
        masks = self.place.mask is not None and len(self.place.mask) > 1 and not self.has_mask_of_each
        return references or masks or len(self.strength.frames) > 1

    @property
    def has_mask_of_each(self) -> bool:
        """Whether each reference has a mask of its own."""
        mask = self.place.mask
        return self.arrangement == "each" and mask is not None and len(mask) == self.prepared.side("cond").rows

    @cached_property
    def distinct_frames(self) -> tuple[Frame, ...]:
        """What is different for pictures of a batch, each once; one for all if nothing is."""
        return tuple(dict.fromkeys(self.strength.frames)) or (Frame(),)

    @cached_property
    def frame_numbers(self) -> tuple[int, ...]:
        """For each picture of a batch, the number of its frame among `distinct_frames`."""
        numbers = {frame: number for number, frame in enumerate(self.distinct_frames)}
        return tuple(numbers[frame] for frame in self.strength.frames) or (0,)

    def factors(self, evaluation: Evaluation) -> tuple[float, ...]:
        """The factor on the weight in an evaluation of the model, for each of `distinct_frames`."""
        factor = evaluation.factor(self.strength.course)
        return tuple(factor * frame.weight * evaluation.factor(frame.course) for frame in self.distinct_frames)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where each of its references acts, if each has a softmax of its own."""
        if self.place.mask is None or not self.has_mask_of_each:
            return (self.place,) * self.prepared.side("cond").rows
        return tuple(replace(self.place, mask=mask.unsqueeze(0)) for mask in self.place.mask)

    def parts(self) -> dict[Site, "Part"]:
        """The part of the prompt that acts at each site, for all sites where it acts."""
        shares = ((site, number, layer) for number, (site, layer) in enumerate(self.layers.items()))
        return {
            site: Part(self, number, share, self.strength.at(layer))
            for site, number, layer in shares
            if (share := self.strength.share(layer))
        }

    def models(self) -> list[ModelPatcher]:
        """The models that ComfyUI has to load for it."""
        return self.prepared.models()


@dataclass(frozen=True, eq=False)
class Part:
    """An image prompt in one layer.

    number: number of the layer in `prompt.prepared`
    share: how much of the prompt acts in this layer, and in which rows
    weight: the weight in this layer
    """

    prompt: ImagePrompt
    number: int
    share: Share
    weight: float

    @property
    def tokens(self) -> int:
        """How many tokens of one reference act in this layer."""
        return self.prompt.prepared.layer_tokens[self.number]

    @property
    def folds(self) -> bool:
        """Whether its keys take the weight, and its values too unless a call does."""
        return SCALINGS[self.prompt.strength.scaling] is not None

    @property
    def takes_weight(self) -> bool:
        """Whether a call takes the weight. In a joint softmax it is also on what the picture gets of itself."""
        return not self.folds or self.prompt.combine == "joint"
