"""Tokens that follow the timestep equal those of diffusers, filled by its own converter from the same file."""

import pytest
import torch
from diffusers.loaders.transformer_sd3 import SD3Transformer2DLoadersMixin

from image_prompt.devtools import published
from image_prompt.ip_adapter import load_adapter
from image_prompt.ip_adapter.containers import projection_keys
from image_prompt.ip_adapter.projections.time_resampler import TimeResampler

NEAR = {"rtol": 0, "atol": 1e-5}


@pytest.fixture
def weights():
    """The image_proj of a small file as InstantX publishes it, in fp64, in which every processor rounds alike."""
    shapes = published.time_resampler(48, width=24, dim=64, heads=2, tokens=5)
    return {key: tensor.double() for key, tensor in published.fill(shapes, 7, spread=0.1).items()}


def load(weights):
    ours = projection_keys(weights)
    projection = TimeResampler.from_shapes(ours, dtype=torch.float64)
    projection.load_state_dict(ours)
    return projection


@torch.inference_mode()
def test_tokens_of_every_step_equal_those_of_diffusers(weights):
    witness = SD3Transformer2DLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers(weights, False).double()
    ours, features = load(weights), torch.randn(3, 9, 24, dtype=torch.float64)
    states = ours.prepare(features)
    assert (ours.feature_widths, ours.context_width, ours.num_tokens, states.shape) == ((24,), 48, 5, (3, 9, 64))
    for timestep in (torch.tensor([1000.0, 512.25, 0.0]), torch.tensor([731.5])):
        tokens, embedding = ours(states, timestep)
        expected, expected_embedding = witness(features, timestep.expand(3))
        torch.testing.assert_close(tokens, expected, **NEAR)
        torch.testing.assert_close(embedding, expected_embedding, **NEAR)


@torch.inference_mode()
def test_the_tokens_are_other_ones_in_every_step(weights):
    ours = load(weights)
    states = ours.prepare(torch.randn(1, 9, 24, dtype=torch.float64))
    early, late = (ours(states, torch.tensor([timestep]))[0] for timestep in (900.0, 100.0))
    assert (early - late).abs().max() > 0.1


@torch.inference_mode()
def test_an_adapter_says_how_to_make_tokens_that_follow_the_timestep():
    layers = [published.timed_layer(64, 48, embedding=64)] * 38
    file = published.numbered(published.time_resampler(48, width=24, dim=64, heads=2, tokens=5), layers)
    adapter, features = load_adapter(published.fill(file, 7, spread=0.1)), torch.randn(1, 9, 24)
    with pytest.raises(ValueError, match="call prepare.features. of the adapter once, and step.states, timestep."):
        adapter.tokens(features)
    tokens, embedding = adapter.step(adapter.prepare(features), torch.tensor([500.0]))
    assert len(adapter.key_value(tokens, embedding=embedding)) == 38
    with pytest.raises(ValueError, match="the embedding that `step` returns"):
        adapter.key_value(tokens)


def test_an_adapter_whose_tokens_stay_says_how_to_make_them():
    sd15 = published.adapter(published.base(768, 24), [32] * 16, 768)
    with pytest.raises(ValueError, match=r"call tokens.features. instead"):
        load_adapter(published.fill(sd15, 7)).prepare(torch.randn(1, 24))
