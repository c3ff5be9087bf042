"""CSGO: two resamplers, whose tokens equal those of diffusers' resampler, and layers that take those of one of them."""

import pytest
import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin

from image_prompt.devtools import published
from image_prompt.ip_adapter import load_adapter

WIDTHS = [16] * 24 + [24] * 36  # of the layers in the down blocks and in the up blocks; the middle block has none


@pytest.fixture
def file():
    """A file with the published keys, in float64, in which every processor rounds alike."""
    shapes = published.adapter(published.content_and_style(2048, depth=4), WIDTHS, 2048)
    tensors = {key: tensor.double() for key, tensor in published.fill(shapes, 1, spread=0.1).items()}
    sd = {part: {} for part in ("content_image_proj", "style_image_proj", "ip_adapter")}
    for key, tensor in tensors.items():
        part, _, name = key.removeprefix("image_proj.").partition(".")
        sd[part if part == "ip_adapter" else f"{part}_image_proj"][name] = tensor
    return sd


@pytest.fixture
def features():
    return torch.randn(3, 9, 1664, dtype=torch.float64)


@torch.inference_mode()
def test_tokens_are_those_of_the_content_and_then_those_of_the_style(file, features):
    convert = UNet2DConditionLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers
    expected = [
        convert(file[f"{part}_image_proj"], low_cpu_mem_usage=False).double()(features) for part in ("content", "style")
    ]
    adapter = load_adapter(file)
    assert (adapter.family.id, adapter.num_tokens, [part.shape[1] for part in expected]) == ("csgo", 36, [4, 32])
    torch.testing.assert_close(adapter.tokens(features), torch.cat(expected, 1), rtol=0, atol=2e-6)


@torch.inference_mode()
def test_down_blocks_take_the_content_and_up_blocks_the_style(file, features):
    """Also of several references that are joined."""
    adapter = load_adapter(file)
    tokens = adapter.tokens(features)
    for given, count in ((tokens, 1), (tokens.flatten(0, 1).unsqueeze(0), 3)):
        every = given.unflatten(1, (count, 36))
        found = adapter.key_value(given)
        assert len(found) == 60
        for number, pair in enumerate(found):
            taken = (every[:, :, :4] if number < 24 else every[:, :, 4:]).flatten(1, 2)
            for letter, made in zip("kv", pair):
                expected = taken @ file["ip_adapter"][f"{2 * number + 1}.to_{letter}_ip.weight"].T
                torch.testing.assert_close(made, expected, rtol=0, atol=1e-12)


def test_parts_of_different_widths_are_refused(file):
    file["style_image_proj"]["proj_in.weight"] = torch.zeros(64, 1280)
    with pytest.raises(ValueError, match="damaged: its content part and its style part have different widths"):
        load_adapter(file)


@pytest.mark.parametrize("part", ["content", "style"])
def test_a_file_with_one_part_is_not_known(file, part):
    del file[f"{part}_image_proj"]
    with pytest.raises(ValueError, match=rf"CSGO: no key like image_proj\\.{part}"):
        load_adapter(file)


def test_layers_of_the_middle_block_are_too_many(file):
    file["ip_adapter"] |= {f"121.to_{letter}_ip.weight": torch.zeros(24, 2048) for letter in "kv"}
    with pytest.raises(ValueError, match=r"has 60 layers, numbered 1, 3 ... 119; this file has 61.*unexpected: 121"):
        load_adapter(file)
