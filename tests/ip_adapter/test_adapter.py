"""An adapter gives keys and values per layer, in the precision asked for, from the features it was made for."""

import comfy.ops
import numpy as np
import pytest
import torch

from image_prompt.ip_adapter import ENCODERS, load_adapter


@torch.inference_mode()
def test_key_value_is_each_layers_own_product_in_file_order(make_file):
    parts = make_file("base", "SDXL")
    adapter, tokens = load_adapter(parts), torch.randn(2, 4, 2048)
    pairs = adapter.key_value(tokens)
    assert len(pairs) == 70
    for layer, (k, v) in enumerate(pairs):
        weights = parts["ip_adapter"]
        torch.testing.assert_close(k, tokens @ weights[f"{2 * layer + 1}.to_k_ip.weight"].T, rtol=0, atol=1e-5)
        torch.testing.assert_close(v, tokens @ weights[f"{2 * layer + 1}.to_v_ip.weight"].T, rtol=0, atol=1e-5)
        assert k.shape == (2, 4, adapter.layer_widths[layer])


def test_weights_stay_as_loaded_unless_asked(make_file):
    parts = make_file("plus")
    parts["ip_adapter"] = {key: tensor.half() for key, tensor in parts["ip_adapter"].items()}
    kept, cast = load_adapter(parts), load_adapter(parts, dtype=torch.float64)
    assert kept.image_proj.latents.dtype == torch.float32
    assert kept.ip_adapter["1"].to_k_ip.weight.dtype == torch.float16
    assert {tensor.dtype for tensor in cast.state_dict().values()} == {torch.float64}
    assert not any(parameter.requires_grad for parameter in kept.parameters())
    assert kept.ip_adapter["1"].to_k_ip.weight.data_ptr() == parts["ip_adapter"]["1.to_k_ip.weight"].data_ptr()


@torch.inference_mode()
@pytest.mark.parametrize(
    "family, shape", [("base", (2, 1024)), ("plus", (2, 257, 1280)), ("full-face", (2, 257, 1280))]
)
def test_casting_layers_compute_in_the_dtype_of_the_input(make_file, family, shape):
    parts = {part: {key: t.half() for key, t in sd.items()} for part, sd in make_file(family).items()}
    host = load_adapter(parts, ops=comfy.ops.manual_cast)
    plain = load_adapter(parts, dtype=torch.float32)
    features = torch.randn(shape)
    tokens = host.tokens(features)
    assert host.ip_adapter["1"].to_k_ip.weight.dtype == torch.float16 and tokens.dtype == torch.float32
    torch.testing.assert_close(tokens, plain.tokens(features), rtol=0, atol=1e-5)
    for ours, theirs in zip(host.key_value(tokens), plain.key_value(tokens), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_casting_layers_take_8_bit_weights(make_file):
    parts = make_file("base")
    parts["ip_adapter"] = {key: t.to(torch.float8_e4m3fn) for key, t in parts["ip_adapter"].items()}
    host, tokens = load_adapter(parts, ops=comfy.ops.manual_cast), torch.randn(1, 4, 768)
    k, v = host.key_value(tokens)[0]
    torch.testing.assert_close(k, tokens @ parts["ip_adapter"]["1.to_k_ip.weight"].float().T, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_plain_torch_layers_compute_in_the_dtype_of_the_file(make_file):
    parts = {part: {key: t.bfloat16() for key, t in sd.items()} for part, sd in make_file("plus").items()}
    adapter = load_adapter(parts)
    tokens = adapter.tokens(torch.randn(1, 257, 1280))
    assert tokens.dtype == torch.bfloat16
    assert adapter.key_value(tokens.float())[0][0].dtype == torch.bfloat16


def test_features_of_another_encoder_are_refused_by_name(make_file):
    adapter = load_adapter(make_file("plus"), name="plus.safetensors")
    with pytest.raises(ValueError) as error:
        adapter.tokens(torch.randn(1, 257, 1664))
    for word in ("plus.safetensors", "SD1.5", "CLIP ViT-H/14", "1280", "1664", "CLIP ViT-bigG/14"):
        assert word in str(error.value)


def test_features_of_an_unknown_width_are_described(make_file):
    with pytest.raises(ValueError, match="an encoder whose image_embeds is 33 wide"):
        load_adapter(make_file("base")).tokens(torch.randn(1, 33))


@pytest.mark.parametrize(
    "family, shape", [("base", (1, 257, 1024)), ("plus", (1, 1280)), ("base", (0, 1024)), ("plus", (1, 0, 1280))]
)
def test_features_of_another_rank_or_empty_are_refused(make_file, family, shape):
    with pytest.raises(ValueError, match="was given a tensor of shape"):
        load_adapter(make_file(family)).tokens(torch.randn(shape))


def test_an_adapter_for_a_small_encoder_says_what_it_wants(make_file):
    adapter = load_adapter(make_file("plus", width=96))
    assert adapter.encoder_name == "an encoder whose penultimate is 96 wide"
    assert adapter.tokens(torch.randn(1, 9, 96)).shape == (1, 16, 768)


def test_tokens_of_another_context_width_are_refused(make_file):
    with pytest.raises(ValueError, match=r"\(batch, tokens, 768\), was given \[1, 4, 2048\]"):
        load_adapter(make_file("base")).key_value(torch.randn(1, 4, 2048))


class Encoded:
    """What an encoder returns is no mapping; its `as_dict` gives one."""

    def __iter__(self):
        return iter([self])


@pytest.mark.parametrize(
    "given", [Encoded(), "penultimate", None, [torch.zeros(1, 257, 1280)], np.zeros((1, 257, 1280))]
)
def test_what_is_neither_a_tensor_nor_features_by_name_is_refused(make_file, given):
    adapter = load_adapter(make_file("plus"))
    words = f"was given a {type(given).__name__} instead of features by name: give features.as_dict.*penultimate alone"
    for ask in (adapter.tokens, adapter.check_features, adapter.count_tokens):
        with pytest.raises(ValueError, match=words):
            ask(given)
    with pytest.raises(ValueError, match=f"was given a {type(given).__name__} as penultimate: give a tensor"):
        adapter.tokens({"penultimate": given})
    with pytest.raises(ValueError, match=f"tokens, 768.*was given a {type(given).__name__}: give what `tokens"):
        adapter.key_value(given)


def test_features_by_other_names_are_refused(make_file):
    with pytest.raises(ValueError, match="reads penultimate, and was given 0 and last: give penultimate as well"):
        load_adapter(make_file("plus")).tokens({0: torch.zeros(1), "last": torch.zeros(1)})


@pytest.mark.parametrize("layers", [[99], [0, 16], 3, "all", [0.5], ["1"]])
def test_layers_that_are_not_there_are_refused_with_the_range(make_file, layers):
    with pytest.raises(ValueError, match=r"has 16 layers, .* numbers from 0 to 15, or None for all") as error:
        load_adapter(make_file("base")).key_value(torch.zeros(1, 4, 768), layers)
    assert repr(layers) in str(error.value)


def test_wanted_encoders_of_the_published_widths():
    assert ENCODERS["image_embeds", 1024] == ENCODERS["penultimate", 1280] == "CLIP ViT-H/14"
    assert ENCODERS["image_embeds", 1280] == ENCODERS["penultimate", 1664] == "CLIP ViT-bigG/14"
    assert ENCODERS["image_embeds", 768] == "CLIP ViT-L/14"
    assert ENCODERS["penultimate", 1024] == "CLIP ViT-L/14-336"


@torch.inference_mode()
def test_some_layers_are_those_of_all(make_file):
    adapter, tokens = load_adapter(make_file("base")), torch.randn(1, 4, 768)
    every = adapter.key_value(tokens)
    some = adapter.key_value(tokens, [11, 3])
    for pair, number in zip(some, (11, 3), strict=True):
        torch.testing.assert_close(pair, every[number], rtol=0, atol=0)
