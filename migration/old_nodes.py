"""The nodes of cubiq/ComfyUI_IPAdapter_plus as saved files have them: their widgets in order, and which always stay.

Names, order and defaults are in files, and so never change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool | None

FACES = "It works with faces. Put Load Face Analyser and Encode Face Prompt in its place by hand."
TILES = "It lets every tile of an image act in its own part of the picture, which no other node here does."
ENHANCER = "It blends an image with its tiles before the adapter reads them, which no other node here does."
LISTS = "It makes lists of numbers or images for animations, which no other node here reads."
PARAMS = "It hands over its settings as lists. Make an Image Prompt Reference of each region by hand."
FILES = "Its files of embeds are its own kind. Save Image Prompt Features writes the kind that Load Features reads."
NOISE = "It makes noise to move away from, which no other node here does."


@dataclass(frozen=True)
class OldNode:
    """A node of the other pack.

    title: what it is called if nobody gave it a name
    widgets: {name: default} in the order in which workflows list the values
    stays: why it is never rewritten; "" if it may be
    """

    title: str
    widgets: Mapping[str, Value] = field(default_factory=dict[str, Value])
    stays: str = ""


TYPE: Mapping[str, Value] = {"weight_type": "linear"}
COMBINE: Mapping[str, Value] = {"combine_embeds": "concat"}
WINDOW: Mapping[str, Value] = {"start_at": 0.0, "end_at": 1.0}
SCALING: Mapping[str, Value] = {"embeds_scaling": "V only"}
WEIGHT: Mapping[str, Value] = {"weight": 1.0}
BATCH_SIZE: Mapping[str, Value] = {"encode_batch_size": 0}
USUAL: Mapping[str, Value] = {**TYPE, **COMBINE, **WINDOW, **SCALING}
STYLE_COMPOSITION: Mapping[str, Value] = {"weight_style": 1.0, "weight_composition": 1.0, "expand_style": False}
STYLE_BOOST: Mapping[str, Value] = {**WEIGHT, "style_boost": 1.0, **COMBINE, **WINDOW, **SCALING}
COMPOSITION_BOOST: Mapping[str, Value] = {**WEIGHT, "composition_boost": 0.0, **COMBINE, **WINDOW, **SCALING}
V1_TYPE: Mapping[str, Value] = {"weight_type": "original"}
V1_ENCODER = "IPAdapterEncoder of 2023"  # one id, two nodes: see `old_node`
V1_ENCODER_HERE = "ImagePromptEncoderV1"  # the id that it has in this pack

OLD_NODES: Mapping[str, OldNode] = {
    # loaders
    "IPAdapterModelLoader": OldNode("IPAdapter Model Loader", {"ipadapter_file": None}),
    "IPAdapterUnifiedLoader": OldNode("IPAdapter Unified Loader", {"preset": "LIGHT - SD1.5 only (low strength)"}),
    "IPAdapterUnifiedLoaderCommunity": OldNode("IPAdapter Unified Loader Community", {"preset": "Composition"}),
    "IPAdapterUnifiedLoaderFaceID": OldNode("IPAdapter Unified Loader FaceID", stays=FACES),
    "IPAdapterInsightFaceLoader": OldNode("IPAdapter InsightFace Loader", stays=FACES),
    "InsightFaceLoader": OldNode("Load InsightFace", stays=FACES),
    # images and features
    "PrepImageForClipVision": OldNode(
        "Prep Image For ClipVision", {"interpolation": "LANCZOS", "crop_position": "top", "sharpening": 0.0}
    ),
    "PrepImageForInsightFace": OldNode("Prepare Image For InsightFace", stays=FACES),
    "IPAdapterEncoder": OldNode("IPAdapter Encoder", WEIGHT),
    V1_ENCODER: OldNode(
        "Encode IPAdapter Image",
        {"ipadapter_plus": False, "noise": 0.0, "weight_1": 1.0, "weight_2": 1.0, "weight_3": 1.0, "weight_4": 1.0},
    ),
    "IPAdapterCombineEmbeds": OldNode("IPAdapter Combine Embeds", {"method": "concat"}),
    "IPAdapterBatchEmbeds": OldNode("IPAdapter Batch Embeds"),
    "IPAdapterSaveEmbeds": OldNode("IPAdapter Save Embeds", stays=FILES),
    "IPAdapterLoadEmbeds": OldNode("IPAdapter Load Embeds", stays=FILES),
    "IPAdapterNoise": OldNode("IPAdapter Noise", stays=NOISE),
    # what applies the adapter
    "IPAdapter": OldNode("IPAdapter", {**WEIGHT, **WINDOW, "weight_type": "standard"}),
    "IPAdapterAdvanced": OldNode("IPAdapter Advanced", {**WEIGHT, **USUAL}),
    "IPAdapterBatch": OldNode("IPAdapter Batch (Adv.)", {**WEIGHT, **TYPE, **WINDOW, **SCALING, **BATCH_SIZE}),
    "IPAdapterMS": OldNode("IPAdapter Mad Scientist", {**WEIGHT, "weight_faceidv2": 1.0, **USUAL, "layer_weights": ""}),
    "IPAdapterStyleComposition": OldNode(
        "IPAdapter Style & Composition SDXL",
        {**STYLE_COMPOSITION, "combine_embeds": "average", **WINDOW, **SCALING},
    ),
    "IPAdapterStyleCompositionBatch": OldNode(
        "IPAdapter Style & Composition Batch SDXL", {**STYLE_COMPOSITION, **WINDOW, **SCALING}
    ),
    "IPAdapterPreciseStyleTransfer": OldNode("IPAdapter Precise Style Transfer", STYLE_BOOST),
    "IPAdapterPreciseStyleTransferBatch": OldNode("IPAdapter Precise Style Transfer Batch", STYLE_BOOST),
    "IPAdapterPreciseComposition": OldNode("IPAdapter Precise Composition", COMPOSITION_BOOST),
    "IPAdapterPreciseCompositionBatch": OldNode("IPAdapter Precise Composition Batch", COMPOSITION_BOOST),
    "IPAdapterEmbeds": OldNode("IPAdapter Embeds", {**WEIGHT, **TYPE, **WINDOW, **SCALING}),
    "IPAdapterEmbedsBatch": OldNode("IPAdapter Embeds Batch", {**WEIGHT, **TYPE, **WINDOW, **SCALING}),
    "IPAdapterApply": OldNode("Apply IPAdapter", {**WEIGHT, "noise": 0.0, **V1_TYPE, **WINDOW, "unfold_batch": False}),
    "IPAdapterApplyEncoded": OldNode(
        "Apply IPAdapter from Encoded", {**WEIGHT, **V1_TYPE, **WINDOW, "unfold_batch": False}
    ),
    "IPAdapterFaceID": OldNode("IPAdapter FaceID", stays=FACES),
    "IPAdapterFaceIDKolors": OldNode("IPAdapter FaceID Kolors", stays=FACES),
    "IPAAdapterFaceIDBatch": OldNode("IPAdapter FaceID Batch", stays=FACES),
    "IPAdapterApplyFaceID": OldNode("Apply IPAdapter FaceID", stays=FACES),
    "IPAdapterTiled": OldNode("IPAdapter Tiled", stays=TILES),
    "IPAdapterTiledBatch": OldNode("IPAdapter Tiled Batch", stays=TILES),
    "IPAdapterTilesMasked": OldNode("IPAdapter Masked Tiles (experimental)", stays=TILES),
    "IPAdapterClipVisionEnhancer": OldNode("IPAdapter ClipVision Enhancer", stays=ENHANCER),
    "IPAdapterClipVisionEnhancerBatch": OldNode("IPAdapter ClipVision Enhancer Batch", stays=ENHANCER),
    # animations and regions
    "IPAdapterWeights": OldNode("IPAdapter Weights", stays=LISTS),
    "IPAdapterCombineWeights": OldNode("IPAdapter Combine Weights", stays=LISTS),
    "IPAdapterWeightsFromStrategy": OldNode("IPAdapter Weights From Strategy", stays=LISTS),
    "IPAdapterPromptScheduleFromWeightsStrategy": OldNode("Prompt Schedule From Weights Strategy", stays=LISTS),
    "IPAdapterFromParams": OldNode("IPAdapter from Params", stays=PARAMS),
    "IPAdapterRegionalConditioning": OldNode("IPAdapter Regional Conditioning", stays=PARAMS),
    "IPAdapterCombineParams": OldNode("IPAdapter Combine Params", stays=PARAMS),
}


def old_node(type: str, inputs: Collection[str]) -> str:
    """The row of `OLD_NODES` for a node, or "" if it is of another pack.

    inputs: names of its inputs, which tell the encoder of 2023 from the later one
    """
    is_v1 = type == V1_ENCODER_HERE or (type == "IPAdapterEncoder" and "image_1" in inputs)
    row = V1_ENCODER if is_v1 else type
    return row if row in OLD_NODES else ""
