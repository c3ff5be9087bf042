"""Features and negatives belong to the encoder that an adapter was made for, not to any of the same width."""

import pytest
import tiny
import torch

from image_prompt.nodes.encoding.adapter_features import negative_features
from image_prompt.nodes.encoding.features import ImageFeatures

H14, L336 = 1024, 1024  # widths of image_embeds of ViT-H/14, of the penultimate states of ViT-L/14-336


def embeds(encoder, width=H14):
    return ImageFeatures(negative_penultimate=None, encoder=encoder, image_embeds=torch.randn(1, width))


def states(encoder, width=L336):
    states = torch.randn(1, 5, width)
    return ImageFeatures(negative_penultimate=states, encoder=encoder, penultimate_hidden_states=states)


@pytest.fixture
def unet():
    return tiny.unet("SD1.5")


@pytest.mark.parametrize("encoder", ["SigLIP large/16-256", "CLIP ViT-H/14 quick-gelu"])
def test_features_of_another_encoder_of_the_same_width(unet, apply, encoder):
    wanted = rf"was made for CLIP ViT-H/14, and the features were made by {encoder}: encode .*input variant of Load"
    with pytest.raises(ValueError, match=wanted) as refusal:
        apply(unet, tiny.adapter(unet, embed=H14), embeds(encoder))
    assert "image encoder CLIP ViT-H/14 with its visual projection" in str(refusal.value)  # and which file to get


def test_states_of_another_encoder_of_the_same_width(unet, apply):
    with pytest.raises(ValueError, match="was made for CLIP ViT-L/14-336, .* were made by CLIP ViT-L/14: encode"):
        apply(unet, tiny.plus_adapter(unet, embed=L336), states("CLIP ViT-L/14"))


@pytest.mark.parametrize("encoder", ["", "an encoder of no table", "CLIP ViT-H/14"])
def test_the_right_encoder_and_one_that_is_not_known_are_taken(unet, apply, encoder):
    apply(unet, tiny.adapter(unet, embed=H14), embeds(encoder), negative=embeds(""))


def test_every_vit_b_is_one_word_in_the_adapters_table(unet, apply):
    for encoder in ("CLIP ViT-B/32", "CLIP ViT-B/16 gelu"):
        apply(unet, tiny.adapter(unet, embed=512), embeds(encoder, 512))


def test_an_adapter_of_no_table_goes_by_width(unet, apply):
    apply(unet, tiny.adapter(unet, embed=40), embeds("CLIP ViT-H/14", 40))


@pytest.mark.parametrize(
    "encoder, message",
    [
        ("SigLIP large/16-256", "the negative features were made by SigLIP large/16-256"),
        ("mine", "The features were made by CLIP ViT-H/14, the negative by mine: encode both with the same"),
    ],
)
def test_a_negative_of_another_encoder(unet, apply, encoder, message):
    with pytest.raises(ValueError, match=message):
        apply(unet, tiny.adapter(unet, embed=H14), embeds("CLIP ViT-H/14"), negative=embeds(encoder))


WRONG = {  # features of an adapter that reads H14, and their negative -> how the message begins
    "width": (embeds("", 16), None, "The features of b do not fit. "),
    "width of the negative": (embeds(""), embeds("", 16), "The negative features of b do not fit. "),
    "encoder": (embeds("CLIP ViT-L/14"), None, "and the features of b were made by CLIP ViT-L/14"),
    "encoder of the negative": (
        embeds(""),
        embeds("CLIP ViT-L/14"),
        "and the negative features of b were made by CLIP",
    ),
    "two encoders": (embeds("mine"), embeds("another"), "The features of b were made by mine, the negative by another"),
    "no features": (states(""), None, "which the features of b do not have"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_features_that_do_not_fit_are_named(unet, name):
    features, negative, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        negative_features(tiny.adapter(unet, embed=H14).module, features, negative, "features of b")


def test_features_that_lack_an_empty_image_are_named(unet):
    found = states("")
    found.negative_penultimate = None
    with pytest.raises(
        ValueError, match="which the features of b do not have: use .* connect the encoder to Load Image"
    ):
        negative_features(tiny.plus_adapter(unet, embed=L336).module, found, None, "features of b")


def test_a_negative_of_another_shape_is_named(unet):
    short = ImageFeatures(negative_penultimate=None, encoder="", penultimate_hidden_states=torch.randn(1, 4, L336))
    with pytest.raises(
        ValueError, match=r"The negative features of b have the shape \(1, 4, .*, the features of b \(1, 5"
    ):
        negative_features(tiny.plus_adapter(unet, embed=L336).module, states(""), short, "features of b")
