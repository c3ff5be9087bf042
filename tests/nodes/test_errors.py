"""Errors that appear only while sampling, or before a prompt is queued. Bad inputs of a node are in bad_inputs.py."""

import pytest
import tiny
import torch

from image_prompt.nodes.applying.apply import ApplyImagePrompt


def test_a_range_is_checked_before_the_prompt_is_queued():
    assert "lies after" in ApplyImagePrompt.validate_inputs(start=0.6, end=0.5)
    assert "between 0 and 1" in ApplyImagePrompt.validate_inputs(start=None, end=1.5)
    assert ApplyImagePrompt.validate_inputs(start=0.2, end=None) is True


def test_a_mask_that_tiles_leave_no_place_for(features, apply):
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features, mask=torch.ones(1, 8, 8))

    def tiles(apply_model, call):
        halves = call["input"].chunk(2, dim=3)
        return torch.cat([apply_model(half, call["timestep"], **call["c"]) for half in halves], dim=3)

    patched.set_model_unet_function_wrapper(tiles)
    with pytest.raises(ValueError, match="on a part of the latent .8x4 of 8x8., so the mask"):
        tiny.sample(patched, "SD1.5")


def test_a_mask_that_merged_tokens_leave_no_place_for(features, apply):
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features, mask=torch.ones(1, 8, 8))
    patched.set_model_patch(lambda n, context, value, options: (n[:, ::2], context, value), "attn2_patch")
    patched.set_model_patch(lambda n, options: n.repeat_interleave(2, 1), "attn2_output_patch")
    with pytest.raises(ValueError, match="cannot be placed"):
        tiny.sample(patched, "SD1.5")
