"""List the cross-attentions of diffusers' own UNets, with ComfyUI's names for their blocks."""

import re
from functools import cache

import torch
from diffusers import UNet2DConditionModel

from image_prompt.ip_adapter import Block

UNETS = {
    "sd15": dict(cross_attention_dim=768),
    "sdxl": dict(
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        cross_attention_dim=2048,
        use_linear_projection=True,
    ),
}


@cache
def diffusers_layers(unet: str) -> list[tuple[str, int]]:
    """(path, inner width) of every cross-attention, in diffusers' own order of attention processors."""
    with torch.device("meta"):
        model = UNet2DConditionModel(**UNETS[unet])
    paths = [name.removesuffix(".processor") for name in model.attn_processors if ".attn2." in name]
    return [(path, model.get_submodule(path).to_q.out_features) for path in paths]


def comfy_block(path: str, width: int) -> Block:
    """ComfyUI's name for a block. A level has three slots; on the way down the first one has no attention."""
    kind = path.split("_")[0]
    block, *rest = (int(n) for n in re.findall(r"\.(\d+)", path))
    if kind == "mid":
        return Block("middle", 0, rest[0], width)
    attention, depth = rest
    return (
        Block("input", 3 * block + 1 + attention, depth, width)
        if kind == "down"
        else Block("output", 3 * block + attention, depth, width)
    )
