"""The tokens of InstantCharacter equal those of diffusers' blocks and its time resampler, joined as published."""

import pytest
import torch
from diffusers.loaders.transformer_sd3 import SD3Transformer2DLoadersMixin
from diffusers.models.attention import BasicTransformerBlock
from torch.nn import functional as F

from image_prompt.devtools import published
from image_prompt.ip_adapter.containers import projection_keys
from image_prompt.ip_adapter.loading import part_of
from image_prompt.ip_adapter.projections.character import CharacterProjection

WIDTH = 128


@pytest.fixture
def weights():
    """The image_proj of a small file, in fp64, in which every processor rounds alike."""
    filled = published.fill(published.character(48, WIDTH, 64, 1, tokens=8), 11, spread=0.1)
    return {key: tensor.double() for key, tensor in filled.items()}


def load(weights):
    ours = projection_keys(weights)
    projection = CharacterProjection.from_shapes(ours, dtype=torch.float64)
    projection.load_state_dict(ours)
    return projection


def through_blocks(weights, name, states, others):
    for number in range(4):
        block = BasicTransformerBlock(WIDTH, 2, 64, cross_attention_dim=WIDTH, activation_fn="geglu", norm_eps=1e-6)
        block.double().load_state_dict(part_of(weights, f"{name}_blocks.{number}"))
        states = block(states, encoder_hidden_states=others)
    return states


def mlp(weights, name, x):
    inner = F.linear(x, weights[f"{name}.fc1.weight"], weights[f"{name}.fc1.bias"])
    return F.linear(F.gelu(inner, approximate="tanh"), weights[f"{name}.fc2.weight"], weights[f"{name}.fc2.bias"])


@torch.inference_mode()
def test_tokens_equal_those_of_blocks_and_resampler_of_diffusers(weights):
    shallow, deep, pieces = (torch.randn(2, count, WIDTH, dtype=torch.float64) for count in (27, 9, 36))
    layers = mlp(weights, "proj_cross_layer", through_blocks(weights, "cross_layer", deep, shallow))
    scales = mlp(weights, "proj_cross_scale", through_blocks(weights, "cross_scale", deep, pieces))
    seen = torch.cat((mlp(weights, "proj", deep) + scales, layers), 1)
    convert = SD3Transformer2DLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers
    witness = convert(part_of(weights, "resampler"), False).double()
    ours, timestep = load(weights), torch.tensor([913.0, 250.5])
    states = ours.prepare(shallow, deep, pieces)
    assert (ours.feature_widths, ours.context_width, ours.num_tokens) == ((WIDTH,) * 3, 48, 8)
    assert states.shape == (2, 18, 64)
    for one, expected in zip(ours(states, timestep), witness(seen, timestep), strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-5)
