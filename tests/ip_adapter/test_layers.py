"""The layer numbers of the files follow the order in which diffusers walks its own UNets."""

import random

import pytest

from image_prompt.devtools.published import shapes
from image_prompt.ip_adapter import Block, file_order, match_layers

from .unets import comfy_block, diffusers_layers


@pytest.mark.parametrize("unet, count", [("sd15", 16), ("sdxl", 70)])
def test_file_order_is_that_of_diffusers(unet, count):
    paths = [path for path, _ in diffusers_layers(unet)]
    shuffled = random.Random(0).sample(paths, len(paths))
    assert len(paths) == count
    assert file_order(shuffled) == paths


@pytest.mark.parametrize("unet", ["sd15", "sdxl"])
def test_published_widths_match_every_block(unet):
    found = shapes(f"ip-adapter_{unet}")
    count = sum(key.endswith("to_k_ip.weight") for key in found)
    widths = [found[f"ip_adapter.{2 * n + 1}.to_k_ip.weight"][0] for n in range(count)]
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


def test_double_blocks_are_in_the_order_of_their_numbers_and_are_called_so():
    blocks = [Block("double", n, 0, 32) for n in (10, 9, 2)]
    assert [block.index for block in match_layers(blocks, [32] * 3, {"double": 1})] == [2, 9, 10]
    with pytest.raises(ValueError, match=r"has 16 layers \(SD1.5\), this model has 3 double blocks: choose"):
        match_layers(blocks, [32] * 16, {"double": 1})
    with pytest.raises(ValueError, match="Layer 2 of the adapter is 64 wide, double block 10 of this model is 32"):
        match_layers(blocks, (32, 32, 64), {"double": 1})


def test_an_adapter_may_act_in_some_blocks_alone():
    blocks = [Block(kind, n, 0, 32) for kind, count in (("single", 6), ("double", 5)) for n in range(count)]
    matched = match_layers(blocks, [32] * 5, {"double": 2, "single": 4})
    assert [(block.kind, block.index) for block in matched] == [
        ("double", 0),
        ("double", 2),
        ("double", 4),
        ("single", 0),
        ("single", 4),
    ]
