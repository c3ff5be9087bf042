"""Every container gives the same adapter with equal weights, whatever its keys are called."""

import io
import re

import pytest
import torch

from image_prompt.ip_adapter import load_adapter, normalise

DIFFUSERS_RESAMPLER = (  # https://github.com/huggingface/diffusers, IPAdapterPlusImageProjectionBlock
    (r"(layers\.\d+)\.0\.norm1", r"\1.ln0"),
    (r"(layers\.\d+)\.0\.norm2", r"\1.ln1"),
    (r"(layers\.\d+)\.0\.to_q", r"\1.attn.to_q"),
    (r"(layers\.\d+)\.0\.to_out", r"\1.attn.to_out.0"),
    (r"(layers\.\d+)\.1\.0", r"\1.ff.0"),
    (r"(layers\.\d+)\.1\.1", r"\1.ff.1.net.0.proj"),
    (r"(layers\.\d+)\.1\.3", r"\1.ff.1.net.2"),
)
SD15_PATHS = [
    *(f"down_blocks.{b}.attentions.{a}" for b in (0, 1, 2) for a in (0, 1)),
    *(f"up_blocks.{b}.attentions.{a}" for b in (1, 2, 3) for a in (0, 1, 2)),
    "mid_block.attentions.0",
]


def assert_same(ours, reference):
    ours, reference = load_adapter(ours).state_dict(), load_adapter(reference).state_dict()
    assert ours.keys() == reference.keys()
    for key, tensor in reference.items():
        assert torch.equal(ours[key], tensor), key


def with_prefixes(parts, image_proj, ip_adapter):
    return {f"{image_proj}.{key}": tensor for key, tensor in parts["image_proj"].items()} | {
        f"{ip_adapter}.{key}": tensor for key, tensor in parts["ip_adapter"].items()
    }


def as_processors(ip_adapter):
    """The weights as a diffusers UNet has them after `load_ip_adapter`, in another order than in the file."""
    renamed = {}
    for key, tensor in ip_adapter.items():
        number, name, _ = key.split(".")
        path = SD15_PATHS[int(number) // 2]
        renamed[f"{path}.transformer_blocks.0.attn2.processor.{name}.0.weight"] = tensor
    return dict(reversed(renamed.items()))


def test_flat_equals_nested(make_file, flatten):
    parts = make_file("plus")
    assert_same(flatten(parts), parts)


def test_a_saved_bin_is_read_back(make_file):
    parts, buffer = make_file("full-face"), io.BytesIO()
    torch.save(parts, buffer)
    buffer.seek(0)
    assert_same(torch.load(buffer, weights_only=True), parts)


def test_trainers_prefixes(make_file):
    parts = make_file("base")
    assert_same(with_prefixes(parts, "image_proj_model", "adapter_modules"), parts)


def test_the_unet_of_an_accelerate_dump_is_dropped(make_file):
    parts = make_file("base")
    dump = with_prefixes(parts, "image_proj_model", "adapter_modules")
    dump["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q.weight"] = torch.randn(4, 4)
    dump["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_ip.weight"] = torch.randn(4, 4)
    assert_same(dump, parts)


def test_of_two_prefix_sets_the_published_names_count(make_file, flatten):
    parts, other = make_file("base"), make_file("base")
    assert_same(with_prefixes(other, "image_proj_model", "adapter_modules") | flatten(parts), parts)


def test_kolors_name_for_the_layers_beside_image_proj(make_file):
    parts = make_file("Kolors plus", "SDXL")
    assert_same({"image_proj": parts["image_proj"], "adapter_modules": parts["ip_adapter"]}, parts)


def test_diffusers_unet_dump(make_file):
    parts = make_file("base")
    image_proj = {
        f"encoder_hid_proj.image_projection_layers.0.{key.replace('proj', 'image_embeds')}": tensor
        for key, tensor in parts["image_proj"].items()
    }
    unet = {"conv_in.weight": torch.randn(4, 4, 3, 3), "down_blocks.0.resnets.0.conv1.weight": torch.randn(4, 4, 3, 3)}
    assert_same(unet | image_proj | as_processors(parts["ip_adapter"]), parts)


@pytest.mark.parametrize("prefix", ["image_proj", "encoder_hid_proj.image_projection_layers.0"])
def test_diffusers_names_for_the_mlp(make_file, prefix):
    parts = make_file("full-face")
    names = {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "proj.3": "norm"}
    renamed = {
        "ip_adapter": parts["ip_adapter"],
        prefix: {names[key[:6]] + key[6:]: tensor for key, tensor in parts["image_proj"].items()},
    }
    assert_same(renamed, parts)


def test_diffusers_names_for_the_resampler(make_file):
    parts = make_file("plus")
    renamed = {}
    for key, tensor in parts["image_proj"].items():
        if key.endswith("to_kv.weight"):
            k, v = tensor.chunk(2)
            stem = key.replace(".0.to_kv.weight", ".attn")
            renamed |= {f"{stem}.to_k.weight": k, f"{stem}.to_v.weight": v}
            continue
        for pattern, name in DIFFUSERS_RESAMPLER:
            key = re.sub(pattern, name, key)
        renamed[key] = tensor
    assert "layers.3.ff.1.net.0.proj.weight" in renamed and "layers.0.0.to_q.weight" not in renamed
    assert_same({"image_proj": renamed, "ip_adapter": parts["ip_adapter"]}, parts)
    key = next(name for name in renamed if name.endswith("to_k.weight"))
    renamed[key] = renamed[key].to(torch.int8)
    with pytest.raises(ValueError, match=r"to_k.weight"):  # not stacked with floats, as one of which it would load
        load_adapter({"image_proj": renamed, "ip_adapter": parts["ip_adapter"]})


def test_only_what_belongs_to_the_adapter_is_read(make_file, flatten):
    file = flatten(make_file("plus")) | {"unet.conv_in.weight": torch.randn(4, 4, 3, 3)}
    shapes, asked = {key: tensor.to("meta") for key, tensor in file.items()}, []
    loaded = load_adapter(shapes, read=lambda key: asked.append(key) or file[key]).state_dict()
    assert sorted(asked) == sorted(file.keys() - {"unet.conv_in.weight"})
    assert all(torch.equal(loaded[key], tensor) for key, tensor in load_adapter(file).state_dict().items())
    asked.clear()
    del shapes["ip_adapter.5.to_v_ip.weight"]
    with pytest.raises(ValueError, match="missing: ip_adapter.5.to_v_ip.weight"):
        load_adapter(shapes, read=asked.append)
    assert not asked


def test_what_ai_toolkit_adds_is_dropped(make_file, flatten):
    parts = make_file("plus")
    extra = {
        "image_encoder.vision_model.embeddings.class_embedding": torch.randn(8),
        "preprocessor.conv.weight": torch.randn(3, 3, 1, 1),
        "ip_scale": torch.tensor(0.5),
    }
    assert_same(flatten(parts) | extra, parts)


def test_a_trained_factor_per_layer_is_folded_into_its_weights(make_file):
    parts = make_file("base")
    scaled = {**parts, "ip_adapter": {**parts["ip_adapter"], "3.ip_scaler": torch.tensor([0.5])}}
    plain, folded = load_adapter(parts), load_adapter(scaled)
    tokens = torch.randn(1, 4, 768)
    for layer, ((k, v), (k_folded, v_folded)) in enumerate(zip(plain.key_value(tokens), folded.key_value(tokens))):
        factor = 0.5 if layer == 1 else 1.0
        torch.testing.assert_close(k_folded, k * factor)
        torch.testing.assert_close(v_folded, v * factor)


def test_a_trained_factor_per_token_is_refused(make_file):
    parts = make_file("base")
    parts["ip_adapter"]["3.ip_scaler"] = torch.ones(4)
    with pytest.raises(ValueError, match="one trained factor per token.*3.ip_scaler"):
        load_adapter(parts)


@pytest.mark.parametrize("family", ["plus", "full-face"])
def test_a_loaded_adapter_saved_again_is_read_back(make_file, family):
    parts = make_file(family)
    assert_same(load_adapter(parts).state_dict(), parts)


def test_normalise_gives_one_naming(make_file):
    parts = normalise(make_file("plus"))
    assert "layers.0.to_kv.weight" in parts.image_proj and "layers.0.ff.1.weight" in parts.image_proj
    assert parts.ip_adapter.keys() == {f"{n}.to_{x}_ip.weight" for n in range(1, 32, 2) for x in "kv"}
