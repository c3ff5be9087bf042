"""Layer numbers of the files, against the order in which diffusers walks its own UNets."""

import json
import random
import re
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from image_prompt.ip_adapter import Block, file_order, match_layers

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
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


def diffusers_layers(unet: str) -> list[tuple[str, int]]:
    """(path, inner width) of every cross-attention, in diffusers' own order of attention processors."""
    with torch.device("meta"):
        model = UNet2DConditionModel(**UNETS[unet])
    paths = [name.removesuffix(".processor") for name in model.attn_processors if ".attn2." in name]
    return [(path, model.get_submodule(path).to_q.out_features) for path in paths]


def comfy_block(path: str, width: int) -> Block:
    """ComfyUI's name of the block: three slots a level, of which the first one downwards is the resolution's own."""
    kind = path.split("_")[0]
    block, *rest = (int(n) for n in re.findall(r"\.(\d+)", path))
    if kind == "mid":
        return Block("middle", 0, rest[0], width)
    attention, depth = rest
    return Block("input", 3 * block + 1 + attention, depth, width) if kind == "down" else Block(
        "output", 3 * block + attention, depth, width)


@pytest.mark.parametrize("unet, count", [("sd15", 16), ("sdxl", 70)])
def test_file_order_is_that_of_diffusers(unet, count):
    paths = [path for path, _ in diffusers_layers(unet)]
    shuffled = random.Random(0).sample(paths, len(paths))
    assert len(paths) == count
    assert file_order(shuffled) == paths


@pytest.mark.parametrize("unet", ["sd15", "sdxl"])
def test_published_widths_match_every_block(unet):
    shapes = json.loads((CHECKPOINTS / f"ip-adapter_{unet}.json").read_text())["tensors"]["ip_adapter"]
    widths = [shapes[f"{n}.to_k_ip.weight"][0] for n in range(1, len(shapes), 2)]
    layers = diffusers_layers(unet)
    assert widths == [width for _, width in layers]
    blocks = [comfy_block(path, width) for path, width in layers]
    shuffled = random.Random(0).sample(blocks, len(blocks))
    assert match_layers(shuffled, widths) == {block: layer for layer, block in enumerate(blocks)}


def test_the_middle_block_is_the_last_layer():
    blocks = [Block("middle", 0, 0, 64), Block("output", 3, 0, 32), Block("input", 1, 0, 16)]
    assert match_layers(blocks, (16, 32, 64)) == {blocks[2]: 0, blocks[1]: 1, blocks[0]: 2}


def test_depth_is_ordered_as_a_number():
    blocks = [Block("input", 7, depth, 8) for depth in (10, 9, 2)] + [Block("input", 10, 0, 8), Block("input", 8, 0, 8)]
    order = match_layers(blocks, [8] * 5)
    assert [(block.index, block.depth) for block in order] == [(7, 2), (7, 9), (7, 10), (8, 0), (10, 0)]


def test_a_different_count_names_both_models():
    blocks = [Block("input", n, 0, 32) for n in range(70)]
    with pytest.raises(ValueError, match=r"16 layers \(SD1.5\), this model has 70 cross-attentions \(SDXL\)"):
        match_layers(blocks, [32] * 16)


def test_a_different_width_names_the_block():
    blocks = [Block("input", 1, 0, 32), Block("middle", 0, 0, 128)]
    with pytest.raises(ValueError, match="Layer 1 of the adapter is 64 wide, middle block 0 of this model is 128"):
        match_layers(blocks, (32, 64))
