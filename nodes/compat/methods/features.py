"""The nodes that encode pictures to features, and apply an adapter with features."""

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import Features
from ... import input_checks
from ...applying.attach import attach
from ...encoding.adapter_features import checked_features
from ...encoding.features import ENCODED
from ...loading.adapter import ImagePromptAdapter
from ...loading.wires import IPADAPTER_ADVICE, as_adapter, encoder_of
from ..encoders import encoder_for
from ..features import combined_pair, negative_features, picture_features
from ..inputs import (
    ATTN_MASK,
    CLIP_VISION,
    EMBEDS_SCALING,
    END_AT,
    IMAGE,
    IPADAPTER,
    MODEL,
    START_AT,
    WEIGHT,
    WEIGHT_TYPE,
    number,
    optional,
    socket,
)
from ..node import CompatNode, Node, Output
from ..reading import read_acting, read_mask, read_weights
from ..wired import Wires

EMBEDS = "connect the EMBEDS of IPAdapter Encoder, IPAdapter Combine Embeds or IPAdapter Load Embeds"


def encode(
    self: CompatNode, ipadapter: Any, image: Any, weight: Any = 1.0, mask: Any = None, clip_vision: Any = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The features of pictures times the weight, and those of the negative image, both in fp32."""
    adapter = as_adapter(ipadapter, "ipadapter", IPADAPTER_ADVICE)
    feature = _only_feature(adapter)
    encoder = encoder_for(adapter, clip_vision if clip_vision is not None else encoder_of(ipadapter))
    (factor,) = read_weights(weight, False)
    cond = picture_features(adapter.module, lambda: encoder, image, mask=read_mask(mask, "mask"))
    uncond = negative_features(adapter.module, lambda: encoder, cond)[feature]
    if adapter.module.reads[0].rank == 2:  # the other pack gives as many zeros as there are pictures
        uncond = uncond.expand_as(cond[feature]).clone()
    return (cond[feature] * factor).float().cpu(), uncond.float().cpu()


def apply_ipadapter(
    self: CompatNode,
    model: Any,
    ipadapter: Any,
    pos_embed: Any,
    weight: Any = 1.0,
    weight_type: Any = "linear",
    start_at: Any = 0.0,
    end_at: Any = 1.0,
    neg_embed: Any = None,
    attn_mask: Any = None,
    clip_vision: Any = None,
    embeds_scaling: Any = "V only",
) -> tuple[ModelPatcher, None]:
    """The model, and None, where nodes that are given pictures return the faces in them."""
    wires = Wires(self, model, ipadapter, clip_vision)
    acting = read_acting(weight, weight_type, start_at, end_at, embeds_scaling, by_picture=self.unfold_batch)
    cond, uncond = combined_pair(*embeds_pair(wires, pos_embed, neg_embed), "concat", self.unfold_batch)
    return attach(wires.model, wires.prompts(cond, uncond, acting, attn_mask)), None


def embeds_pair(
    wires: Wires, pos_embed: Any, neg_embed: Any = None, *, name: str = "pos_embed"
) -> tuple[Features, Features]:
    """The features that EMBEDS wires carry. Files from before March 2024 hold the negative ones as well.

    name: of the first input, for messages

    Raises:
        ValueError: they are no features, or those of another encoder.
    """
    feature, module = _only_feature(wires.adapter), wires.adapter.module
    pos, kept = _divided(pos_embed, module.reads[0].rank, name)
    cond = checked_features(module, {feature: pos}, name)
    if neg_embed is not None:
        alone, stacked = _divided(neg_embed, module.reads[0].rank, "neg_embed")
        kept = alone if stacked is None else stacked
    if kept is None:
        uncond = negative_features(module, wires.encoder, cond)
    else:
        uncond = checked_features(module, {feature: kept}, "neg_embed")
    return cond, uncond


def _divided(embeds: Any, rank: int, name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The features of the references, and those of the negative images if they are stacked."""
    given = input_checks.expect(embeds, torch.Tensor, name, EMBEDS).float()
    return (given[0], given[1]) if given.ndim == rank + 1 and len(given) == 2 else (given, None)


def _only_feature(adapter: ImagePromptAdapter) -> str:
    """The feature that the adapter reads, if it reads a single one that an image encoder gives."""
    names = [reads.name for reads in adapter.module.reads]
    if len(names) > 1 or names[0] not in ENCODED:
        raise ValueError(
            f"{adapter.name} reads {' and '.join(names)}, which EMBEDS do not carry: use a node that is "
            "given the picture, such as IPAdapter FaceID."
        )
    return names[0]


_INPUTS = (
    MODEL,
    IPADAPTER,
    socket("pos_embed", "EMBEDS"),
    WEIGHT,
    WEIGHT_TYPE,
    START_AT,
    END_AT,
    EMBEDS_SCALING,
    optional(socket("neg_embed", "EMBEDS")),
    ATTN_MASK,
    CLIP_VISION,
)

ROWS = (
    Node(
        "IPAdapterEncoder",
        "IPAdapter Encoder",
        (IPADAPTER, IMAGE, number("weight", 1.0, -1.0, 3.0, 0.01), optional(socket("mask", "MASK")), CLIP_VISION),
        (Output("EMBEDS", "pos_embed"), Output("EMBEDS", "neg_embed")),
        encode,
        "In new graphs use Encode Image Prompt.",
    ),
    Node(
        "IPAdapterEmbeds",
        "IPAdapter Embeds",
        _INPUTS,
        (Output("MODEL", "MODEL"),),
        apply_ipadapter,
        "In new graphs use Apply IP-Adapter, which takes features as well.",
    ),
    Node(
        "IPAdapterEmbedsBatch",
        "IPAdapter Embeds Batch",
        _INPUTS,
        (Output("MODEL", "MODEL"),),
        apply_ipadapter,
        "In new graphs use Image Prompt Reference with the combining 'one per image', and Apply References.",
        by_picture=True,
    ),
)
