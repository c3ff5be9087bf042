"""The named sets of layers match the blocks of diffusers' UNets."""

import pytest

from image_prompt.ip_adapter import (
    BASE_MODELS,
    LAYER_SET_NAMES,
    LAYER_SETS,
    file_order,
    match_layers,
    select_layers,
)

from .unets import comfy_block, diffusers_layers

UNETS = {"SD1.5": "sd15", "SDXL": "sdxl", "Kolors": "sdxl"}


def matched(base):
    blocks = [comfy_block(path, width) for path, width in diffusers_layers(UNETS[base])]
    return match_layers(blocks, [block.width for block in blocks])


@pytest.fixture(params=[base.name for base in BASE_MODELS if base.host == "unet"])
def base(request):
    return request.param


def test_every_base_model_has_every_set():
    assert {tuple(base.layer_sets) for base in BASE_MODELS if base.host == "unet"} == {LAYER_SET_NAMES}
    assert all("all" in sets for sets in LAYER_SETS.values())
    assert LAYER_SET_NAMES == ("all", "style", "composition", "style and composition")


def test_the_sets_name_blocks_that_exist(base):
    there = {(block.kind, block.index) for block in matched(base)}
    named = [places for places in LAYER_SETS[base].values() if places is not None]
    assert all(places and places <= there for places in named)


def test_style_and_composition_is_their_union_and_they_share_nothing(base):
    sets = LAYER_SETS[base]
    assert sets["style and composition"] == sets["style"] | sets["composition"]
    assert not sets["style"] & sets["composition"]


def test_all_is_every_layer_in_file_order(base):
    layers = matched(base)
    assert list(select_layers(layers, base, "all").items()) == list(layers.items())


@pytest.mark.parametrize("base", ["SDXL", "Kolors"])
@pytest.mark.parametrize(
    "name, block", [("style", "up_blocks.0.attentions.1"), ("composition", "down_blocks.2.attentions.1")]
)
def test_sdxl_acts_in_the_blocks_of_instantstyle(base, name, block):
    """Each set has every layer of its block, under the numbers that the files give them."""
    paths = file_order(path for path, _ in diffusers_layers("sdxl"))
    expected = [number for number, path in enumerate(paths) if path.startswith(f"{block}.")]
    assert len(expected) == 10
    assert list(select_layers(matched(base), base, name).values()) == expected


def test_a_set_that_is_not_there_is_refused(base):
    with pytest.raises(ValueError, match="no layers named 'colour': choose one of all, style, composition,"):
        select_layers(matched(base), base, "colour")
