"""The image tokens of adapters for Anima are those of the published formulas, written out."""

import pytest
import torch
from torch.nn import functional as F

from image_prompt.devtools import published
from image_prompt.ip_adapter.projections.anima import AnimaTokens

NEAR = {"rtol": 0, "atol": 1e-5}


def load(shapes):
    weights = {key: tensor.double() for key, tensor in published.fill(shapes, 5, spread=0.1).items()}
    projection = AnimaTokens.from_shapes(weights, dtype=torch.float64)
    projection.load_state_dict(weights)
    return projection, weights


def states(positions=11):
    return torch.randn(2, positions, 768, dtype=torch.float64)


def linear(weights, name, x):
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights, name, x):
    return F.layer_norm(x, (768,), weights[f"{name}.weight"], weights[f"{name}.bias"])


def attention(query, key, value):
    query, key, value = (x.unflatten(-1, (8, 96)).transpose(1, 2) for x in (query, key, value))
    return ((query @ key.mT / 96**0.5).softmax(-1) @ value).transpose(1, 2).flatten(2)


def feed_forward(weights, name, x):
    return linear(weights, f"{name}.2", F.gelu(linear(weights, f"{name}.0", x)))


def mixed(weights, tokens):
    name = "ip_self_attn"
    qkv = linear(weights, f"{name}.qkv", norm(weights, f"{name}.norm1", tokens)).chunk(3, -1)
    tokens = tokens + linear(weights, f"{name}.out_proj", attention(*qkv))
    return tokens + feed_forward(weights, f"{name}.ffn", norm(weights, f"{name}.norm2", tokens))


def compressed(weights, image):
    queries = weights["siglip_compressor.queries"].repeat(len(image), 1, 1)
    for layer in ("siglip_compressor.layers.0", "siglip_compressor.layers.1"):
        own, seen = norm(weights, f"{layer}.norm_q", queries), norm(weights, f"{layer}.norm_kv", image)
        query = linear(weights, f"{layer}.q_proj", own)
        key, value = linear(weights, f"{layer}.k_proj", seen), linear(weights, f"{layer}.v_proj", seen)
        queries = queries + linear(weights, f"{layer}.out_proj", attention(query, key, value))
        qkv = linear(weights, f"{layer}.self_qkv", norm(weights, f"{layer}.norm_self", queries)).chunk(3, -1)
        queries = queries + linear(weights, f"{layer}.self_out", attention(*qkv))
        queries = queries + feed_forward(weights, f"{layer}.ffn", norm(weights, f"{layer}.norm_ffn", queries))
    return norm(weights, "siglip_compressor.final_norm", queries)


@torch.inference_mode()
def test_without_a_network_the_hidden_states_are_the_tokens():
    projection, _ = load({})
    image = states()
    assert projection(image) is image
    assert (projection.num_tokens, projection.count_tokens(image)) == (1024, 11)
    assert (projection.feature_widths, projection.context_width) == ((768,), 768)
    assert projection.null_tokens is None


@torch.inference_mode()
def test_tokens_are_compressed_then_mixed():
    projection, weights = load(published.compressor(4) | published.token_mixer() | {"null_tokens": (1, 9, 768)})
    image = states()
    assert (projection.num_tokens, projection.count_tokens(image)) == (4, 4)
    torch.testing.assert_close(projection(image), mixed(weights, compressed(weights, image)), **NEAR)
    assert torch.equal(projection.null_tokens, weights["null_tokens"])


def test_an_adapter_for_a_middle_layer_that_it_does_not_name_is_refused():
    with pytest.raises(ValueError, match="does not say which layer: choose an adapter without siglip_norm"):
        AnimaTokens.from_shapes({"siglip_norm.weight": torch.ones(768), "siglip_norm.bias": torch.zeros(768)})
