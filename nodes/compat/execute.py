"""One application of an adapter, as nodes of other packs mean it, as image prompts of ours.

Letters: t number of a block in the order of execution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from comfy.model_patcher import ModelPatcher

from ...ip_adapter import OWN, Block, Course, Features, Frame, ScalingName, Share, Strength, weight_type
from ...ip_adapter.layer_weights.preset import Taken
from ...ip_adapter.layers import by_name
from ..applying.attach import image_prompt, matching_sites
from ..applying.image_prompt import ImagePrompt, Rules
from ..applying.masks import Place, Resizing
from ..loading.adapter import ImagePromptAdapter

Weights = tuple[float, ...]  # one for all pictures, or one for each

THEIRS = Rules(beyond="hold", negative="second")
STRONGEST = 1000.0  # weight in any layer and picture; the other pack has no limit, and no picture comes of more


@dataclass(frozen=True, eq=False)
class Application:
    """One application of an adapter to a model.

    title: what people call the node
    cond, uncond: features of the references and of the negative images
    composition: features of the references whose composition acts; None: those of `cond`
    weights: by what takes them; several: one for each picture of the batch
    layer_weights: {t: factor on the weight}, instead of the weight type
    by_picture: whether each reference is for the picture of its number
    middle: whether the middle block acts too
    """

    title: str
    cond: Features
    uncond: Features
    composition: Features | None
    weights: Mapping[Taken, Weights]
    weight_type: str
    start: float
    end: float
    scaling: ScalingName
    by_picture: bool
    layer_weights: Mapping[int, float] | None
    mask: torch.Tensor | None
    mask_resizing: Resizing
    middle: bool


def image_prompts(model: ModelPatcher, adapter: ImagePromptAdapter, given: Application) -> list[ImagePrompt]:
    """The image prompts of an application: one for each of the weights that layers take.

    Raises:
        ValueError: the adapter was made for another model, the weight types are for others, or a weight is too large.
    """
    check_base_model(given.title, adapter.module.base_model)
    matched = {site.block: layer for site, layer in matching_sites(model, adapter).items()}
    place = Place(given.mask, given.mask_resizing)
    is_one = given.by_picture or adapter.options.averaged
    names = names_of(given.title, 1 if is_one else len(next(iter(given.cond.values()))))
    prompts = list[ImagePrompt]()
    for taken, weights in given.weights.items():
        shares = _shares(given, list(matched), adapter.module.base_model, taken)
        strength = Strength(
            weight=weights[0] if len(weights) == 1 else 1.0,
            layers={matched[block]: share for block, share in shares.items()},
            course=Course(given.start, given.end, closed=True),
            frames=() if len(weights) == 1 else tuple(Frame(weight) for weight in weights),
            scaling=given.scaling,
        )
        _check_size(strength, given.title)
        cond = given.composition if taken == "composition" and given.composition is not None else given.cond
        if not strength.is_nothing:
            prompts.append(
                image_prompt(
                    model,
                    adapter,
                    cond,
                    given.uncond,
                    strength,
                    place,
                    arrangement="by picture" if given.by_picture else "together",
                    rules=THEIRS,
                    title=given.title,
                    names=names,
                )
            )
    return prompts


def check_base_model(title: str, base: str) -> None:
    """Refuse a base model whose blocks no weight type names. title: as `Application` has it"""
    if not weight_type("linear").fits(base):  # all of them are for the same models
        raise ValueError(f"{title} does not act on {base} models: use Apply IP-Adapter.")


def _check_size(strength: Strength, title: str) -> None:
    if strength.largest > STRONGEST:
        raise ValueError(
            f"The weights of {title} multiply to {strength.largest:g}, at most {STRONGEST:g} is allowed in any layer "
            "and picture: lower its weight, or its layer weights."
        )


def _shares(given: Application, blocks: Sequence[Block], base: str, taken: Taken) -> dict[Block, Share]:
    """The share of each layer that takes one of the weights."""
    preset = weight_type(given.weight_type, middle=given.middle)
    if given.layer_weights is None:
        return preset.shares(blocks, base, **{each: float(each == taken) for each in given.weights})
    if taken != "weight":
        return {}
    typed = preset.shares(blocks, base)
    factors = {block: given.layer_weights.get(number, 0.0) for block, number in _numbers(blocks).items()}
    return {
        block: replace(typed.get(block, OWN), amount=factor)
        for block, factor in factors.items()
        if factor and (given.middle or block.kind != "middle")
    }


def _numbers(blocks: Sequence[Block]) -> dict[Block, int]:
    """t of the block of every layer."""
    return {layer: number for number, layers in enumerate(by_name(blocks).values()) for layer in layers}


def names_of(title: str, count: int) -> tuple[str, ...]:
    """What people call each of so many references of a node."""
    return (title,) if count == 1 else tuple(f"{title}, picture {number}" for number in range(1, count + 1))
