"""The nodes that the other pack removed in March 2024, which half of the saved workflows still have.

Letters: N references, B pictures.
"""

from typing import Any

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import Features
from ... import input_checks
from ...applying.attach import attach
from ...encoding.encoder import Encoder, as_encoder
from ...encoding.sources import SOURCES
from ..faces import MORE_SIZES, Faces
from ..features import as_seen, black_feature, combined_pair, negative_features, picture_features
from ..formulas.noise import v1_negative
from ..inputs import (
    ATTN_MASK,
    END_AT,
    IMAGE,
    IPADAPTER,
    MODEL,
    START_AT,
    WEIGHT,
    choice,
    number,
    optional,
    socket,
    switch,
)
from ..node import CompatNode, Node, Output
from ..reading import read_acting, read_switch, read_weights
from ..wired import Wires
from .features import embeds_pair

SCALINGS = {"original": "V only", "linear": "K+V", "channel penalty": "K+mean(V) w/ C penalty"}  # by weight_type
PLUS, BASE = "penultimate", "image_embeds"  # what adapters read that are plus, or not
CROP = 256  # the side of the crops of faces, whatever the model
ENCODER_V1 = "ImagePromptEncoderV1"  # today's pack has another node under the id that it had


def apply_ipadapter(
    self: CompatNode,
    ipadapter: Any,
    model: Any,
    weight: Any = 1.0,
    clip_vision: Any = None,
    image: Any = None,
    weight_type: Any = "original",
    noise: Any = 0.0,
    embeds: Any = None,
    attn_mask: Any = None,
    start_at: Any = 0.0,
    end_at: Any = 1.0,
    unfold_batch: Any = False,
    insightface: Any = None,
    faceid_v2: Any = False,
    weight_v2: Any = 1.0,
) -> tuple[ModelPatcher]:
    """The model. All layers act, also those of the middle block.

    `faceid_v2` and `weight_v2` are for adapters that read faces: the first says which kind it is, not the file.
    """
    wires = Wires(
        self,
        model,
        ipadapter,
        clip_vision,
        insightface,
        shortcut=weight_v2,
        shortcut_name="weight_v2",
        faces=Faces(sizes=MORE_SIZES, side=CROP),
        family="faceid-plus-v2" if read_switch(faceid_v2, "faceid_v2") else "faceid-plus",
        middle=True,
        mask_resizing="bicubic",
    )
    scaling = SCALINGS[input_checks.choice(weight_type, list(SCALINGS), "weight_type")]
    reads_embeds = embeds is not None or any(each.name == "embeds" for each in self.row.inputs)
    cond, uncond = embeds_pair(wires, embeds, name="embeds") if reads_embeds else _features(wires, image, noise)
    by_picture = read_switch(unfold_batch, "unfold_batch") and len(next(iter(cond.values()))) > 1
    cond, uncond = combined_pair(cond, uncond, "concat", by_picture)
    acting = read_acting(weight, "linear", start_at, end_at, scaling, by_picture=by_picture)
    return (attach(wires.model, wires.prompts(cond, uncond, acting, attn_mask)),)


def _features(wires: Wires, image: Any, noise: Any) -> tuple[Features, Features]:
    """The features of pictures, and those of the same pictures in noise, or of a black one."""
    module = wires.adapter.module
    noise = input_checks.number(noise, 0.0, 1.0, "noise")
    cond = picture_features(module, wires.encoder, image, faces=wires.faces)
    seen = input_checks.image(image) if wires.faces.pictures is None else wires.faces.pictures
    return cond, negative_features(module, wires.encoder, cond, v1_negative(seen, noise) if noise else None)


def preprocess(
    self: CompatNode,
    clip_vision: Any,
    image_1: Any,
    ipadapter_plus: Any = False,
    noise: Any = 0.0,
    weight_1: Any = 1.0,
    image_2: Any = None,
    image_3: Any = None,
    image_4: Any = None,
    weight_2: Any = 1.0,
    weight_3: Any = 1.0,
    weight_4: Any = 1.0,
) -> tuple[torch.Tensor]:
    """The features of up to four pictures, stacked with those of the negative images: (2, N, D) or (2, N, places, D).

    Those of each picture are multiplied by the square of its weight.
    """
    encoder, feature = as_encoder(clip_vision), PLUS if read_switch(ipadapter_plus, "ipadapter_plus") else BASE
    noise = input_checks.number(noise, 0.0, 1.0, "noise")
    images = {"image_1": image_1, "image_2": image_2, "image_3": image_3, "image_4": image_4}
    first = input_checks.image(image_1, "image_1")
    pictures = [_like(first, input_checks.image(each, name)) for name, each in images.items() if each is not None]
    weights = [
        read_weights(weight, False, f"weight_{number}")[0]
        for number, (weight, each) in enumerate(
            zip((weight_1, weight_2, weight_3, weight_4), images.values(), strict=True), 1
        )
        if each is not None
    ]
    found = [_encoded(feature, encoder, each) * weight**2 for each, weight in zip(pictures, weights, strict=True)]
    cond = torch.cat(found)
    if noise:
        uncond = _encoded(feature, encoder, v1_negative(torch.cat(pictures), noise))
    else:
        uncond = black_feature(feature, encoder).expand_as(cond) if feature == PLUS else torch.zeros_like(cond)
    return (torch.stack([cond, uncond]).float().cpu(),)


def _encoded(feature: str, encoder: Encoder, image: torch.Tensor) -> torch.Tensor:
    return SOURCES[feature](as_seen(encoder, image, "image"))


def _like(first: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """A picture in the size of the first one, (B, H, W, C), cut to its proportions."""
    height, width = first.shape[1:3]
    if image.shape[1:3] == first.shape[1:3]:
        return image
    return comfy.utils.common_upscale(image.movedim(-1, 1), width, height, "bilinear", "center").movedim(1, -1)


_WEIGHT_TYPE = choice("weight_type", *SCALINGS)
_NOISE = number("noise", 0.0, 0.0, 1.0, 0.01)
_UNFOLD = switch("unfold_batch", False)
_TO_MODEL = (Output("MODEL", ""),)
_CLIP_VISION = socket("clip_vision", "CLIP_VISION")
_PICTURE_WEIGHTS = tuple(optional(number(f"weight_{each}", 1.0, 0, 1.0, 0.01)) for each in (2, 3, 4))

ROWS = (
    Node(
        "IPAdapterApply",
        "Apply IPAdapter",
        (
            IPADAPTER,
            _CLIP_VISION,
            IMAGE,
            MODEL,
            WEIGHT,
            _NOISE,
            _WEIGHT_TYPE,
            START_AT,
            END_AT,
            _UNFOLD,
            ATTN_MASK,
        ),
        _TO_MODEL,
        apply_ipadapter,
        "In new graphs use Encode Image Prompt and Apply IP-Adapter.",
    ),
    Node(
        "IPAdapterApplyFaceID",
        "Apply IPAdapter FaceID",
        (
            IPADAPTER,
            _CLIP_VISION,
            socket("insightface", "INSIGHTFACE"),
            IMAGE,
            MODEL,
            WEIGHT,
            _NOISE,
            _WEIGHT_TYPE,
            START_AT,
            END_AT,
            switch("faceid_v2", False),
            number("weight_v2", 1.0, -1, 3),
            _UNFOLD,
            ATTN_MASK,
        ),
        _TO_MODEL,
        apply_ipadapter,
        "In new graphs use Load Face Analyser, Encode Face Prompt and Apply IP-Adapter.",
    ),
    Node(
        "IPAdapterApplyEncoded",
        "Apply IPAdapter from Encoded",
        (
            IPADAPTER,
            socket("embeds", "EMBEDS"),
            MODEL,
            WEIGHT,
            _WEIGHT_TYPE,
            START_AT,
            END_AT,
            _UNFOLD,
            ATTN_MASK,
        ),
        _TO_MODEL,
        apply_ipadapter,
        "In new graphs use Apply IP-Adapter, which takes features.",
    ),
    Node(
        ENCODER_V1,
        "IPAdapter Encoder (V1)",
        (
            _CLIP_VISION,
            socket("image_1", "IMAGE"),
            switch("ipadapter_plus", False),
            _NOISE,
            number("weight_1", 1.0, 0, 1.0, 0.01),
            *(optional(socket(f"image_{each}", "IMAGE")) for each in (2, 3, 4)),
            *_PICTURE_WEIGHTS,
        ),
        (Output("EMBEDS", ""),),
        preprocess,
        "In new graphs use Encode Image Prompt for each picture, and Combine Image Prompts with weights.",
    ),
)
