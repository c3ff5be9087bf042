"""An encoder that reads pictures of a chosen size goes through the nodes, and sizes are never mixed."""

from types import SimpleNamespace

import pytest
import tiny
import torch
from own_files import put_encoder

from image_prompt.clip_vision import encode, fit
from image_prompt.ip_adapter import Reads
from image_prompt.nodes.compat import encoders
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt
from image_prompt.nodes.encoding.saving.library import LoadImagePromptFeatures, SaveImagePromptFeatures
from image_prompt.nodes.loading import load
from image_prompt.nodes.loading.load import LoadImageEncoder

FILE = "anything.safetensors"


@pytest.fixture(autouse=True)
def file(folders):
    put_encoder(folders)


def of_size(image_size):
    return LoadImageEncoder.execute(FILE, dtype="fp32", image_size=image_size).args[0]


def test_features_and_squares_are_of_that_size_and_are_not_mixed_up(pictures):
    own, large = of_size(0), of_size(48)
    assert of_size(48) is large and of_size(0) is own
    assert own.image_size == 32 and large.image_size == 48
    whole = torch.zeros(1, 48, 48, 3)  # both read zeros of it
    for encoder, positions in ((own, 17), (large, 37), (own, 17)):
        found, squares = EncodeImagePrompt.execute(encoder, whole).args
        assert found.penultimate_hidden_states.shape == (1, positions, 32)
        assert squares.shape == (1, encoder.image_size, encoder.image_size, 3)
        assert found.negative_penultimate.shape == (1, positions, 32)
    found, squares = EncodeImagePrompt.execute(large, pictures).args
    assert torch.equal(squares, fit(pictures, 48))
    expected = encode(large.model, pictures, want=("image_embeds",)).image_embeds
    torch.testing.assert_close(found.image_embeds, expected)


@pytest.mark.parametrize("kind", [tiny.adapter, tiny.plus_adapter])
def test_adapters_take_any_number_of_positions(model, base, pictures, apply, kind):
    adapter = kind(model)
    one, other = (
        tiny.sample(apply(model, adapter, EncodeImagePrompt.execute(of_size(size), pictures[:1]).args[0]), base)
        for size in (0, 48)
    )
    assert one.isfinite().all() and other.isfinite().all() and not torch.equal(one, other)


def test_references_of_different_sizes_are_not_combined(pictures):
    one, other = (EncodeImagePrompt.execute(of_size(size), pictures[:1]).args[0] for size in (0, 48))
    with pytest.raises(ValueError, match="from one encoder with different image sizes: .* the same image_size"):
        CombineImagePrompts.execute("concat", features_1=one, features_2=other)


def test_saved_features_take_the_empty_picture_of_their_own_size_alone(pictures, tmp_path):
    features = EncodeImagePrompt.execute(of_size(48), pictures[:1]).args[0]
    name = SaveImagePromptFeatures.execute(features, "cat", None).args[0]
    loaded = LoadImagePromptFeatures.execute(name, of_size(48)).args[0]
    assert torch.equal(loaded.penultimate_hidden_states, features.penultimate_hidden_states)
    with pytest.raises(
        ValueError, match="of pictures of 48 pixels, and the clip_vision reads 32: load it with the image"
    ):
        LoadImagePromptFeatures.execute(name, of_size(0))


def test_the_loader_shows_a_size_that_was_chosen():
    usual, chosen = load.encoder_words(of_size(0)), load.encoder_words(of_size(48))
    assert usual.startswith("tiny CLIP, fp32, cpu, ") and "pixels" not in usual
    assert chosen.startswith("tiny CLIP, fp32, cpu, 48 pixels, ")


def test_a_size_that_was_chosen_is_not_taken_for_another_encoder():
    adapter = SimpleNamespace(
        encoder_name="CLIP ViT-H/14", reads=[Reads("penultimate", 3, "encoded zeros")], feature_widths=[32]
    )
    assert encoders.fits(adapter, of_size(48))
    assert not encoders.fits(adapter, of_size(0))
    adapter.feature_widths = [40]
    assert not encoders.fits(adapter, of_size(48))
