"""The central node of the pack, which applies an adapter to a model, and its kinds."""

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ...applying.attach import attach
from ...applying.image_prompt import ImagePrompt
from ..inputs import (
    ATTN_MASK,
    CLIP_VISION,
    COMBINE_EMBEDS,
    COMBINE_NAMES,
    EMBEDS_SCALING,
    ENCODE_BATCH_SIZE,
    END_AT,
    IMAGE,
    IMAGE_NEGATIVE,
    INSIGHTFACE,
    IPADAPTER,
    MODEL,
    START_AT,
    WEIGHT,
    WEIGHT_FACEID_V2,
    WEIGHT_TO_5,
    WEIGHT_TYPE,
    choice,
    number,
    socket,
    switch,
    text,
    whole,
)
from ..node import CompatNode, Node, Output
from ..reading import EXPANDED, check_batch_size, read_acting, read_switch
from ..wired import Wires, picture_prompts
from .regions import PARAMS, read_params

STYLE_AND_COMPOSITION = {False: "style and composition", True: EXPANDED}  # by expand_style
WITH_COMPOSITION = ("SDXL", "Kolors")  # models in which another picture can give the composition


def apply_ipadapter(
    self: CompatNode,
    model: Any,
    ipadapter: Any,
    start_at: Any = 0.0,
    end_at: Any = 1.0,
    weight: Any = 1.0,
    weight_style: Any = 1.0,
    weight_composition: Any = 1.0,
    expand_style: Any = False,
    weight_type: Any = "linear",
    combine_embeds: Any = "concat",
    weight_faceidv2: Any = None,
    image: Any = None,
    image_style: Any = None,
    image_composition: Any = None,
    image_negative: Any = None,
    clip_vision: Any = None,
    attn_mask: Any = None,
    insightface: Any = None,
    embeds_scaling: Any = "V only",
    layer_weights: Any = None,
    ipadapter_params: Any = None,
    encode_batch_size: Any = 0,
    style_boost: Any = None,
    composition_boost: Any = None,
    enhance_tiles: Any = 1,
    enhance_ratio: Any = 1.0,
    weight_kolors: Any = 1.0,
) -> tuple[ModelPatcher, torch.Tensor | None]:
    """The model, and the faces that were found in the pictures; None if the adapter reads none.

    `weight_faceidv2` and `weight_kolors` are for adapters that read faces, and `encode_batch_size` changes no value:
    the encoder takes as many pictures at a time as fit.
    """
    check_batch_size(encode_batch_size)
    wires = Wires(self, model, ipadapter, clip_vision, insightface, shortcut=weight_faceidv2, text_scale=weight_kolors)
    entry = {"image": image, "attn_mask": attn_mask, "weight": weight, "weight_type": weight_type}
    entry |= {"start_at": start_at, "end_at": end_at}
    boost, composition, names = style_boost, None, ("image", "weight")
    if image_style is not None:
        _check_composition(wires)
        entry |= {
            "image": image_style,
            "weight": weight_style,
            "weight_type": STYLE_AND_COMPOSITION[read_switch(expand_style, "expand_style")],
        }
        composition, names = image_composition, ("image_style", "weight_style")
    elif style_boost is not None:
        entry["weight_type"] = "style transfer precise"
    elif composition_boost is not None:
        entry["weight_type"], boost = "composition precise", composition_boost
    prompts = list[ImagePrompt]()
    for one in [entry] if ipadapter_params is None else _regions(ipadapter_params):
        acting = read_acting(
            one["weight"],
            one["weight_type"],
            one["start_at"],
            one["end_at"],
            embeds_scaling,
            by_picture=self.unfold_batch,
            composition=weight_composition,
            boost=boost,
            name=names[1],
        )
        prompts += picture_prompts(
            wires,
            one["image"],
            acting,
            one["attn_mask"],
            combine=combine_embeds,
            negative=image_negative,
            composition=composition,
            layer_weights=layer_weights,
            tiles=enhance_tiles,
            ratio=enhance_ratio,
            name=names[0],
        )
    return attach(wires.model, prompts), wires.faces.pictures


def _check_composition(wires: Wires) -> None:
    base = wires.adapter.module.base_model
    if base not in WITH_COMPOSITION:
        raise ValueError(
            f"{wires.title} acts on {' and '.join(WITH_COMPOSITION)} models, and this one is {base}: use IPAdapter "
            "Advanced with the weight type 'style and composition', or Apply References with two references."
        )


def _regions(params: Any) -> list[dict[str, Any]]:
    """How the pictures of regions act, without those that have none."""
    lists = read_params(params, "ipadapter_params")
    entries: list[dict[str, Any]] = [{name: lists[name][at] for name in PARAMS} for at in range(len(lists["image"]))]
    return [entry for entry in entries if entry["image"] is not None]


PICTURE = (MODEL, IPADAPTER, IMAGE)
OPTIONAL = (IMAGE_NEGATIVE, ATTN_MASK, CLIP_VISION)
WINDOW = (START_AT, END_AT, EMBEDS_SCALING)
FACES = (WEIGHT_TYPE, COMBINE_EMBEDS, *WINDOW, *OPTIONAL, INSIGHTFACE)
TWO_PICTURES = (
    MODEL,
    IPADAPTER,
    socket("image_style", "IMAGE"),
    socket("image_composition", "IMAGE"),
    number("weight_style", 1.0, -1, 5),
    number("weight_composition", 1.0, -1, 5),
    switch("expand_style", False),
)
STYLE_BOOST = number("style_boost", 1.0, -5, 5)
COMPOSITION_BOOST = number("composition_boost", 0.0, -5, 5)
ENHANCE_TILES = whole("enhance_tiles", 2, 1, 16)
TO_MODEL = (Output("MODEL", "MODEL"),)
TO_FACES = (*TO_MODEL, Output("IMAGE", "face_image"))

REFERENCES = "In new graphs use Encode Image Prompt, Image Prompt Reference and Apply References"
PER_PICTURE = f"{REFERENCES}, with the combining 'one per image'."
PRECISE = f"{REFERENCES}, with the layers 'precise style'."
FACE = "In new graphs use Load Face Analyser, Encode Face Prompt and Apply IP-Adapter."

ROWS = (
    Node(
        "IPAdapterAdvanced",
        "IPAdapter Advanced",
        (*PICTURE, WEIGHT_TO_5, WEIGHT_TYPE, COMBINE_EMBEDS, *WINDOW, *OPTIONAL),
        TO_MODEL,
        apply_ipadapter,
        "In new graphs use Encode Image Prompt and Apply IP-Adapter, or Apply References for more control.",
    ),
    Node(
        "IPAdapterBatch",
        "IPAdapter Batch (Adv.)",
        (*PICTURE, WEIGHT_TO_5, WEIGHT_TYPE, *WINDOW, ENCODE_BATCH_SIZE, *OPTIONAL),
        TO_MODEL,
        apply_ipadapter,
        PER_PICTURE,
        by_picture=True,
    ),
    Node(
        "IPAdapterFaceID",
        "IPAdapter FaceID",
        (*PICTURE, WEIGHT, WEIGHT_FACEID_V2, *FACES),
        TO_FACES,
        apply_ipadapter,
        FACE,
    ),
    Node(
        "IPAdapterFaceIDKolors",
        "IPAdapter FaceID Kolors",
        (*PICTURE, WEIGHT, WEIGHT_FACEID_V2, number("weight_kolors", 1.0, -1, 5.0), *FACES),
        TO_FACES,
        apply_ipadapter,
        FACE,
    ),
    Node(
        "IPAAdapterFaceIDBatch",
        "IPAdapter FaceID Batch",
        (*PICTURE, WEIGHT, WEIGHT_FACEID_V2, *FACES),
        TO_FACES,
        apply_ipadapter,
        FACE,
        by_picture=True,
    ),
    Node(
        "IPAdapterStyleComposition",
        "IPAdapter Style & Composition SDXL",
        (
            *TWO_PICTURES,
            choice("combine_embeds", *COMBINE_NAMES, default="average"),
            *WINDOW,
            *OPTIONAL,
        ),
        TO_MODEL,
        apply_ipadapter,
        f"{REFERENCES}: one with the layers 'style', one with 'composition'.",
    ),
    Node(
        "IPAdapterStyleCompositionBatch",
        "IPAdapter Style & Composition Batch SDXL",
        (*TWO_PICTURES, *WINDOW, *OPTIONAL),
        TO_MODEL,
        apply_ipadapter,
        PER_PICTURE,
        by_picture=True,
    ),
    Node(
        "IPAdapterMS",
        "IPAdapter Mad Scientist",
        (
            *PICTURE,
            WEIGHT_TO_5,
            WEIGHT_FACEID_V2,
            WEIGHT_TYPE,
            COMBINE_EMBEDS,
            *WINDOW,
            text("layer_weights", multiline=True),
            *OPTIONAL,
            INSIGHTFACE,
        ),
        TO_MODEL,
        apply_ipadapter,
        f"{REFERENCES}, with Image Prompt Layer Weights, which shows the table of layers.",
    ),
    Node(
        "IPAdapterClipVisionEnhancer",
        "IPAdapter ClipVision Enhancer",
        (
            *PICTURE,
            WEIGHT_TO_5,
            WEIGHT_TYPE,
            COMBINE_EMBEDS,
            *WINDOW,
            ENHANCE_TILES,
            number("enhance_ratio", 1.0, 0.0, 1.0),
            *OPTIONAL,
        ),
        TO_MODEL,
        apply_ipadapter,
        "In new graphs use Encode Image Prompt with the crop 'tiles', which keeps the details of each tile.",
    ),
    Node(
        "IPAdapterClipVisionEnhancerBatch",
        "IPAdapter ClipVision Enhancer Batch",
        (
            *PICTURE,
            WEIGHT_TO_5,
            WEIGHT_TYPE,
            *WINDOW,
            ENHANCE_TILES,
            number("enhance_ratio", 0.5, 0.0, 1.0),
            ENCODE_BATCH_SIZE,
            *OPTIONAL,
        ),
        TO_MODEL,
        apply_ipadapter,
        PER_PICTURE,
        by_picture=True,
    ),
    Node(
        "IPAdapterFromParams",
        "IPAdapter from Params",
        (
            MODEL,
            IPADAPTER,
            socket("ipadapter_params", "IPADAPTER_PARAMS"),
            COMBINE_EMBEDS,
            EMBEDS_SCALING,
            IMAGE_NEGATIVE,
            CLIP_VISION,
        ),
        TO_MODEL,
        apply_ipadapter,
        f"{REFERENCES}: a reference for each region, with its mask.",
    ),
    Node(
        "IPAdapterPreciseStyleTransfer",
        "IPAdapter Precise Style Transfer",
        (*PICTURE, WEIGHT_TO_5, STYLE_BOOST, COMBINE_EMBEDS, *WINDOW, *OPTIONAL),
        TO_MODEL,
        apply_ipadapter,
        PRECISE,
    ),
    Node(
        "IPAdapterPreciseStyleTransferBatch",
        "IPAdapter Precise Style Transfer Batch",
        (*PICTURE, WEIGHT_TO_5, STYLE_BOOST, COMBINE_EMBEDS, *WINDOW, *OPTIONAL),
        TO_MODEL,
        apply_ipadapter,
        PER_PICTURE,
        by_picture=True,
    ),
    Node(
        "IPAdapterPreciseComposition",
        "IPAdapter Precise Composition",
        (*PICTURE, WEIGHT_TO_5, COMPOSITION_BOOST, COMBINE_EMBEDS, *WINDOW, *OPTIONAL),
        TO_MODEL,
        apply_ipadapter,
        f"{REFERENCES}, with the layers 'composition'.",
    ),
    Node(
        "IPAdapterPreciseCompositionBatch",
        "IPAdapter Precise Composition Batch",
        (*PICTURE, WEIGHT_TO_5, COMPOSITION_BOOST, COMBINE_EMBEDS, *WINDOW, *OPTIONAL),
        TO_MODEL,
        apply_ipadapter,
        PER_PICTURE,
        by_picture=True,
    ),
)
