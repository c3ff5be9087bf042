"""Keys and values of the layers equal those of diffusers' processors, and the published formulas written out."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, SD3IPAdapterJointAttnProcessor2_0
from torch.nn import functional as F

from image_prompt.devtools import published
from image_prompt.ip_adapter.layer_networks import LAYERS

NEAR = {"rtol": 0, "atol": 1e-5}
SHAPES = {  # one layer, as the files have it: two heads, small contexts
    "plain": published.key_value(256, 48, bias=True),
    "normed": published.key_value(256, 48),
    "character": published.character_layer(256, 48),
    "timed": published.timed_layer(128, 128, 24),
    "gated": published.gated_layer(256, 48),
    "perceiver": published.perceiver_layer(256, 48, 40),
}


@pytest.fixture
def weights():
    """The layers by kind, in fp64, in which every processor rounds alike."""
    return {
        kind: {
            key.replace(".scale", ".weight"): tensor.double()
            for key, tensor in published.fill(shapes, 3, spread=0.1).items()
        }
        for kind, shapes in SHAPES.items()
    }


def load(kind, weights):
    """The projecting and the sampling network of a layer, which between them have to take all of its tensors."""
    row, taken = LAYERS[kind], set()
    for network in filter(None, (row.projecting, row.sampling)):
        module = network.from_shapes(weights[kind], dtype=torch.float64)
        module.load_state_dict({key: weights[kind][key] for key in module.state_dict()})
        assert taken.isdisjoint(module.state_dict())
        taken |= set(module.state_dict())
        yield module
    assert taken == set(weights[kind])


def tokens(width=48):
    return torch.randn(2, 5, width, dtype=torch.float64)


def linear(weights, name, x):
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights, name, x):
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def heads(x, width):
    return x.unflatten(-1, (-1, width))


def sdpa(query, key, value, width):
    """The attention of queries (B, L, I), by heads of this width."""
    split = (heads(x, width).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


@torch.inference_mode()
def test_plain_layers_have_a_bias_if_the_file_has_one(weights):
    (layer,), x = load("plain", weights), tokens()
    key, value = layer(x)
    assert layer.width == 256
    torch.testing.assert_close(key, linear(weights["plain"], "to_k_ip", x), **NEAR)
    torch.testing.assert_close(value, linear(weights["plain"], "to_v_ip", x), **NEAR)


@torch.inference_mode()
def test_instantx_divides_keys_and_values_by_the_root_mean_square_of_each_head(weights):
    (layer,), x = load("normed", weights), tokens() * 0.01  # so small that eps counts
    for ours, name in zip(layer(x), ("to_k_ip", "to_v_ip"), strict=True):
        each = heads(linear(weights["normed"], name, x), 128)
        expected = each / (each.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(ours, expected.flatten(2), **NEAR)


@torch.inference_mode()
def test_instantcharacter_norms_and_scales_keys_and_queries(weights):
    projecting, sampling = load("character", weights)
    own, x = weights["character"], tokens()
    query = torch.randn(2, 7, 2, 128, dtype=torch.float64) * 0.001  # so small that eps counts

    def normed(each, name):
        return own[f"{name}.weight"] * each / (each.norm(2, dim=-1, keepdim=True) * 128**-0.5 + 1e-6)

    key, value = projecting(x)
    torch.testing.assert_close(key, normed(heads(linear(own, "to_k_ip", x), 128), "norm_ip_k").flatten(2), **NEAR)
    torch.testing.assert_close(value, linear(own, "to_v_ip", x), **NEAR)
    torch.testing.assert_close(sampling(query), normed(query, "norm_ip_q"), **NEAR)


@torch.inference_mode()
def test_the_layers_of_sd35_give_what_the_processor_of_diffusers_adds(weights):
    projecting, sampling = load("timed", weights)
    processor = SD3IPAdapterJointAttnProcessor2_0(128, 128, 64, timesteps_emb_dim=24, scale=0.7).double()
    processor.load_state_dict(weights["timed"])
    attention = Attention(128, heads=2, dim_head=64, bias=True).double()
    hidden, x, embedding = torch.randn(2, 9, 128).double(), tokens(128), torch.randn(2, 24).double()
    query, key, value = (heads(module(hidden), 64) for module in (attention.to_q, attention.to_k, attention.to_v))
    query, key = sampling(query, key)
    keys, values = projecting(x, embedding)
    picture = sdpa(attention.to_q(hidden), attention.to_k(hidden), attention.to_v(hidden), 64)
    joint = sdpa(query.flatten(2), torch.cat((key.flatten(2), keys), 1), torch.cat((value.flatten(2), values), 1), 64)
    expected = processor(attention, hidden, ip_hidden_states=x, temb=embedding)
    torch.testing.assert_close(attention.to_out[0](picture + 0.7 * joint), expected, **NEAR)


def test_a_layer_that_follows_the_timestep_says_that_it_needs_it(weights):
    projecting, _ = load("timed", weights)
    with pytest.raises(ValueError, match="give the embedding that `step` returns"):
        projecting(tokens(128))


@torch.inference_mode()
def test_the_gate_of_anima_follows_the_embedding_of_the_timestep(weights):
    projecting, gate = load("gated", weights)
    x, embedding = tokens(), torch.randn(2, 1, 256, dtype=torch.float64)
    torch.testing.assert_close(projecting(x)[0], linear(weights["gated"], "to_k_ip", x), **NEAR)
    expected = linear(weights["gated"], "gate", embedding * embedding.sigmoid())
    torch.testing.assert_close(gate(embedding), expected, **NEAR)


@torch.inference_mode()
def test_the_layers_of_pulid_for_flux_attend_as_their_formula_says(weights):
    projecting, sampling = load("perceiver", weights)
    own, faces, hidden = weights["perceiver"], tokens(), torch.randn(2, 9, 40, dtype=torch.float64)
    key, value = (heads(x, 128).transpose(1, 2) for x in linear(own, "to_kv", norm(own, "norm1", faces)).chunk(2, -1))
    query = heads(linear(own, "to_q", norm(own, "norm2", hidden)), 128).transpose(1, 2)
    scale = 128**-0.25
    scores = (query * scale) @ (key * scale).transpose(-2, -1)
    expected = linear(own, "to_out", (scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
    ours = sampling.result(sdpa(sampling.query(hidden), *projecting(faces), 128))
    assert projecting.width == 256
    torch.testing.assert_close(ours, expected, **NEAR)


@pytest.mark.parametrize(
    ("kind", "key", "shape", "message"),
    [
        ("normed", "to_k_ip.weight", (250, 48), "to_k_ip.weight has 250 rows, not a multiple of 128"),
        ("character", "norm_ip_k.weight", (96,), "to_k_ip.weight has 256 rows, not a multiple of 96"),
        ("timed", "norm_ip.linear.weight", (256,), r"norm_ip.linear.weight has shape \[256\], expected 2 dimensions"),
    ],
)
def test_damaged_layers_are_refused(kind, key, shape, message):
    sd = {name.replace(".scale", ".weight"): torch.empty(size, device="meta") for name, size in SHAPES[kind].items()}
    sd[key] = torch.empty(shape, device="meta")
    with pytest.raises(ValueError, match=message):
        LAYERS[kind].projecting.from_shapes(sd)
