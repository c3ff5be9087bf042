"""The nodes that cut a picture into tiles, of which each acts in its own part of the image."""

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ... import input_checks
from ...applying.attach import attach
from ..formulas.tiles import cut
from ..inputs import (
    ATTN_MASK,
    CLIP_VISION,
    COMBINE_EMBEDS,
    EMBEDS_SCALING,
    ENCODE_BATCH_SIZE,
    END_AT,
    IMAGE,
    IMAGE_NEGATIVE,
    IPADAPTER,
    MODEL,
    SHARPENING,
    START_AT,
    WEIGHT,
    WEIGHT_TYPE,
)
from ..node import CompatNode, Node, Output
from ..reading import check_batch_size, read_acting, read_mask
from ..wired import Wires, picture_prompts


def apply_tiled(
    self: CompatNode,
    model: Any,
    ipadapter: Any,
    image: Any,
    weight: Any = 1.0,
    weight_type: Any = "linear",
    start_at: Any = 0.0,
    end_at: Any = 1.0,
    sharpening: Any = 0.0,
    combine_embeds: Any = "concat",
    image_negative: Any = None,
    attn_mask: Any = None,
    clip_vision: Any = None,
    embeds_scaling: Any = "V only",
    encode_batch_size: Any = 0,
) -> tuple[ModelPatcher, torch.Tensor, torch.Tensor]:
    """The model, the tiles of all pictures, (tiles * B, 256, 256, C), and their part of the mask.

    What tiles add up to where they overlap is not divided by their number.
    """
    check_batch_size(encode_batch_size)
    wires = Wires(self, model, ipadapter, clip_vision)
    acting = read_acting(weight, weight_type, start_at, end_at, embeds_scaling, by_picture=self.unfold_batch)
    sharpening = input_checks.number(sharpening, 0.0, 1.0, "sharpening")
    tiles = cut(input_checks.image(image), read_mask(attn_mask), sharpening)
    prompts = [
        prompt
        for tile in tiles
        for prompt in picture_prompts(
            wires, tile.picture, acting, tile.mask, combine=combine_embeds, negative=image_negative
        )
    ]
    pictures, masks = torch.cat([tile.picture for tile in tiles]), torch.cat([tile.inner for tile in tiles])
    return attach(wires.model, prompts), pictures, masks


_PICTURE = (MODEL, IPADAPTER, IMAGE, WEIGHT, WEIGHT_TYPE)
_OPTIONAL = (IMAGE_NEGATIVE, ATTN_MASK, CLIP_VISION)
_OUTPUTS = (Output("MODEL", "MODEL"), Output("IMAGE", "tiles"), Output("MASK", "masks"))

ROWS = (
    Node(
        "IPAdapterTiled",
        "IPAdapter Tiled",
        (*_PICTURE, COMBINE_EMBEDS, START_AT, END_AT, SHARPENING, EMBEDS_SCALING, *_OPTIONAL),
        _OUTPUTS,
        apply_tiled,
        "In new graphs use Encode Image Prompt with the crop 'tiles', and Apply References with a mask for each tile.",
    ),
    Node(
        "IPAdapterTiledBatch",
        "IPAdapter Tiled Batch",
        (*_PICTURE, START_AT, END_AT, SHARPENING, EMBEDS_SCALING, ENCODE_BATCH_SIZE, *_OPTIONAL),
        _OUTPUTS,
        apply_tiled,
        "In new graphs use Encode Image Prompt with the crop 'tiles', and Image Prompt Reference with the combining "
        "'one per image'.",
        by_picture=True,
    ),
)
