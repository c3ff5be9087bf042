"""What goes wrong is said before sampling, with what was given, what was expected, and what to do."""

import pytest
import tiny
import torch

from image_prompt.nodes.apply import ApplyImagePrompt


@pytest.mark.parametrize("base, other", [("SD1.5", "SDXL"), ("SDXL", "SD1.5")])
def test_adapter_for_another_base(base, other, features, apply):
    with pytest.raises(ValueError, match=rf"IP-Adapter for {base}, the model is {other}: use one made for {other}\."):
        apply(tiny.unet(other), tiny.adapter(tiny.unet(base)), features)


@pytest.mark.parametrize("base, other, vector", [("Kolors", "SDXL", 2816), ("SDXL", "Kolors", 5632)])
def test_kolors_is_not_sdxl(base, other, vector, features, apply):
    model = tiny.unet("SDXL")
    adapter = tiny.adapter(model)
    adapter.module.base_model, model.model.adm_channels = base, vector
    with pytest.raises(ValueError, match=f"IP-Adapter for {base}, the model is {other}"):
        apply(model, adapter, features)


def test_adapter_for_another_width(features, apply):
    model = tiny.unet("SD1.5")
    file = tiny.base_file(model)
    narrow = {key: value[:16] if key.endswith("_ip.weight") else value for key, value in file.items()}
    with pytest.raises(ValueError, match="(?i)wide"):
        apply(model, tiny.wrapped(narrow), features)


def test_architecture_without_cross_attention(features, apply):
    flux = tiny.dit()
    with pytest.raises(ValueError, match="the model is Flux: IP-Adapter is applied to SD1.5 and SDXL"):
        apply(flux, tiny.adapter(tiny.unet("SD1.5")), features)


def test_features_of_another_encoder(pictures, apply):
    from image_prompt.nodes.encode import EncodeImagePrompt

    other = EncodeImagePrompt.execute(tiny.encoder(projection=16), pictures).args[0]
    model = tiny.unet("SD1.5")
    with pytest.raises(ValueError, match="24 wide.*16 wide"):
        apply(model, tiny.adapter(model), other)


def test_plus_adapter_without_the_empty_picture(features, apply):
    model = tiny.unet("SD1.5")
    adapter = tiny.plus_adapter(model)
    features.negative_penultimate = None
    with pytest.raises(ValueError, match="use Encode Image Prompt"):
        apply(model, adapter, features)


def test_negative_of_another_encoder(features, apply):
    model = tiny.unet("SD1.5")
    other = type(features)(
        negative_penultimate=None, encoder="", penultimate_hidden_states=features.penultimate_hidden_states[:, :5]
    )
    with pytest.raises(ValueError, match="encode both with the same encoder"):
        apply(model, tiny.plus_adapter(model), features, negative=other)


@pytest.mark.parametrize("mask", [torch.zeros(8, 8), torch.zeros(1, 8, 8, 3), torch.zeros(0, 8, 8)])
def test_mask_of_wrong_rank(features, apply, mask):
    model = tiny.unet("SD1.5")
    with pytest.raises(ValueError, match="The mask has shape"):
        apply(model, tiny.adapter(model), features, mask=mask)


@pytest.mark.parametrize("numbers", [{"mask": torch.full((1, 8, 8), float("nan"))}, {}])
def test_numbers_that_are_none(features, apply, numbers):
    model = tiny.unet("SD1.5")
    if not numbers:
        features.image_embeds = features.image_embeds * float("inf")
    with pytest.raises(ValueError, match="NaN or infinite"):
        apply(model, tiny.adapter(model), features, **numbers)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_weight_that_is_none(features, apply, weight):
    model = tiny.unet("SD1.5")
    with pytest.raises(ValueError, match="must be a finite number"):
        apply(model, tiny.adapter(model), features, weight=weight)


@pytest.mark.parametrize("stored, words", [(float("nan"), "NaN or infinite"), (None, "features of shape")])
def test_stored_negative_that_is_none(features, apply, stored, words):
    model = tiny.unet("SD1.5")
    negative = features.negative_penultimate
    features.negative_penultimate = negative[..., :8] if stored is None else negative * stored
    with pytest.raises(ValueError, match=words):
        apply(model, tiny.plus_adapter(model), features)


def test_start_after_end(features, apply):
    model = tiny.unet("SD1.5")
    with pytest.raises(ValueError, match="start 0.6 lies after end 0.5"):
        apply(model, tiny.adapter(model), features, start=0.6, end=0.5)
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
