"""CSD, the style encoder: OpenAI's ViT-L/14 tuned for styles, with a projection for styles and one for contents."""

import pytest
import torch
import witness
from witness import ROWS

from image_prompt.clip_vision import load_encoder, to_published, to_transformers

CLIP, ROW = ROWS["CLIP ViT-L/14"], ROWS["CSD ViT-L/14"]


def named(sd, style):
    """CLIP in transformers' names as CSD's checkpoint has it."""
    tower = {key: tensor for key, tensor in witness.to_openclip(sd).items() if key != "visual.proj"}
    backbone = {key.replace("visual.", "backbone."): tensor for key, tensor in tower.items()}
    return backbone | {"last_layer_style": style, "last_layer_content": torch.randn_like(style)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return witness.narrow(CLIP)


@pytest.fixture
def file(model):
    return named(witness.state_dict(model), 0.2 * torch.randn(128, 24))


def ours(sd):
    return load_encoder(sd, metadata=witness.description(ROW))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_image_embeds_are_the_normalised_style_of_the_class_token(model, file, prefix):
    pixel_values = witness.pixels(CLIP)
    theirs = model(pixel_values, output_hidden_states=True)
    style = model.vision_model(pixel_values).pooler_output @ file["last_layer_style"]
    expected = style / style.norm(dim=-1, keepdim=True)
    got = ours({prefix + key: tensor for key, tensor in file.items()})(
        pixel_values, want=("image_embeds", "penultimate", "projected_patches")
    )
    assert (got.image_embeds - expected).abs().max() <= 1e-5
    assert (got.penultimate - theirs.hidden_states[-2]).abs().max() <= 1e-4
    assert (got.projected_patches[:, 0] - expected).abs().max() <= 1e-5


def test_a_file_of_full_shape_is_identified_and_loads_strictly():
    with torch.device("meta"):
        sd = named(witness.state_dict(witness.empty("clip", witness.full_config(CLIP))), torch.empty(1024, 768))
    assert len(sd) == 297  # as in CSD's own checkpoint
    config = load_encoder(sd).config
    assert (config.name, config.activation, config.heads) == ("CSD ViT-L/14", "quick_gelu", 16)
    assert (config.projection, config.image_size, config.mean) == (768, 224, CLIP.mean)


def test_weights_go_back_to_the_layout_of_csd_bit_for_bit(file):
    encoder = ours(file)
    back = to_published(encoder)
    assert back.keys() == file.keys() - {"last_layer_content"}
    assert all(torch.equal(back[key], file[key]) for key in back)
    with pytest.raises(ValueError, match="transformers has no CSD encoder"):
        to_transformers(encoder)


def test_a_missing_style_or_an_unknown_weight_is_refused(file):
    with pytest.raises(ValueError, match="not a CLIP or SigLIP image encoder"):
        ours({key: tensor for key, tensor in file.items() if key != "last_layer_style"})
    with pytest.raises(ValueError, match=r"does not know: .*backbone\.proj"):
        ours(file | {"backbone.proj": torch.zeros(128, 24)})
