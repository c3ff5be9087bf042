"""Tokens of faces equal those of diffusers' FaceID projections, and the formulas of PuLID and Instruct written out."""

import pytest
import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin
from torch.nn import functional as F

from image_prompt.ip_adapter import load_adapter

NEAR = {"rtol": 0, "atol": 1e-5}


def diffusers_projection(image_proj):
    convert = UNet2DConditionLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers
    return convert(image_proj, low_cpu_mem_usage=False).double().eval()


def double(parts):
    """In float64, in which every processor rounds alike."""
    return {part: {key: tensor.double() for key, tensor in tensors.items()} for part, tensors in parts.items()}


# ------------------------------------------------------------------------------------------------------------- FaceID


@torch.inference_mode()
@pytest.mark.parametrize(("tokens", "unet", "name"), [(4, "SDXL", "FaceID"), (16, "SD1.5", "FaceID portrait")])
def test_tokens_of_an_identity_equal_diffusers(make_file, tokens, unet, name):
    parts, faces = double(make_file("FaceID", unet, tokens=tokens)), torch.randn(3, 512, dtype=torch.float64)
    adapter = load_adapter(parts)
    expected = diffusers_projection(parts["image_proj"])(faces)
    assert (adapter.family.name, adapter.num_tokens, expected.shape[1]) == (name, tokens, tokens)
    torch.testing.assert_close(adapter.tokens(faces), expected, **NEAR)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("family", "shortcut"), [("faceid-plus", None), ("faceid-plus-v2", 1.0), ("faceid-plus-v2", 0.7)]
)
def test_tokens_of_an_identity_and_a_look_equal_diffusers(make_file, family, shortcut):
    parts = double(make_file("FaceID plus", heads=2))
    faces, hidden = torch.randn(2, 512, dtype=torch.float64), torch.randn(2, 9, 1280, dtype=torch.float64)
    reference = diffusers_projection(parts["image_proj"])
    reference.clip_embeds = hidden.unsqueeze(1)
    reference.shortcut, reference.shortcut_scale = shortcut is not None, shortcut
    adapter = load_adapter(parts, family=family)
    features = {"face_embeds": faces, "face_penultimate": hidden}
    tokens = adapter.tokens(features, shortcut=1.0 if shortcut is None else shortcut)
    assert adapter.feature_widths == (512, 1280)
    torch.testing.assert_close(tokens, reference(faces), **NEAR)


@pytest.mark.parametrize(("family", "unet"), [("FaceID", "SDXL"), ("FaceID plus", "SD1.5")])
def test_diffusers_names_for_the_projections_of_faces(make_file, family, unet):
    parts = make_file(family, unet)
    projection = diffusers_projection(parts["image_proj"]).float()
    renamed = {**parts, "image_proj": projection.state_dict()}
    assert renamed["image_proj"].keys().isdisjoint(key for key in parts["image_proj"] if key.startswith("proj."))
    assert_same(renamed, parts)


@pytest.mark.parametrize(
    ("family", "unet"),
    [("FaceID", "SDXL"), ("FaceID plus", "SD1.5"), ("PuLID", "SDXL"), ("PuLID v1.1", "SDXL"), ("Instruct", "SD1.5")],
)
def test_a_loaded_adapter_saved_again_is_read_back(make_file, family, unet):
    parts = make_file(family, unet)
    assert_same(load_adapter(parts).state_dict(), parts)


def assert_same(ours, reference):
    ours, reference = load_adapter(ours), load_adapter(reference)
    assert ours.family is reference.family
    assert ours.state_dict().keys() == reference.state_dict().keys()
    for key, tensor in reference.state_dict().items():
        assert torch.equal(ours.state_dict()[key], tensor), key


@torch.inference_mode()
def test_a_resampler_takes_an_identity_as_one_position(make_file):
    """InstantID and the unnorm portrait: all that their resampler sees is the raw identity."""
    parts, faces = double(make_file("plus", "SDXL", width=512, heads=2)), torch.randn(3, 512, dtype=torch.float64)
    expected = diffusers_projection(parts["image_proj"])(faces.unsqueeze(1))
    torch.testing.assert_close(load_adapter(parts, family="instantid").tokens(faces), expected, **NEAR)


# --------------------------------------------------------------------------------------------------- PuLID, Instruct


def linear(weights, name, x):
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights, name, x):
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def mapping(weights, name, x):
    for layer in (0, 3):
        x = F.leaky_relu(norm(weights, f"{name}.{layer + 1}", linear(weights, f"{name}.{layer}", x)), 0.01)
    return linear(weights, f"{name}.6", x)


def resampler_layer(weights, name, seen, latents):
    seen, own = norm(weights, f"{name}.0.norm1", seen), norm(weights, f"{name}.0.norm2", latents)
    key, value = linear(weights, f"{name}.0.to_kv", torch.cat([seen, own], 1)).chunk(2, -1)
    heads = [t.unflatten(-1, (-1, 64)).transpose(1, 2) for t in (linear(weights, f"{name}.0.to_q", own), key, value)]
    attended = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    latents = latents + linear(weights, f"{name}.0.to_out", attended)
    inner = F.gelu(linear(weights, f"{name}.1.1", norm(weights, f"{name}.1.0", latents)))
    return latents + linear(weights, f"{name}.1.3", inner)


def pulid(weights, identity, embeds, *states):
    """[body(identity, embeds), mapping_i(class token) + mean of mapping_patch_i(patches) ...]"""
    tokens = [mapping(weights, "body", torch.cat([identity, embeds], 1)).view(len(identity), 5, -1)]
    for number, state in enumerate(states):
        patches = mapping(weights, f"mapping_patch_{number}", state[:, 1:]).mean(1, keepdim=True)
        tokens.append(mapping(weights, f"mapping_{number}", state[:, :1]) + patches)
    return torch.cat(tokens, 1)


def pulid_former(weights, identity, embeds, *states):
    """Layers 2 i and 2 i + 1 see the tokens of the identity and mapping_i(state i)."""
    own = mapping(weights, "id_embedding_mapping", torch.cat([identity, embeds], 1)).view(len(identity), 5, -1)
    latents = torch.cat([weights["latents"].repeat(len(identity), 1, 1), own], 1)
    for layer in range(10):
        seen = torch.cat([own, mapping(weights, f"mapping_{layer // 2}", states[layer // 2])], 1)
        latents = resampler_layer(weights, f"layers.{layer}", seen, latents)
    return latents[:, :32] @ weights["proj_out"]


@torch.inference_mode()
@pytest.mark.parametrize(
    ("family", "sizes", "formula", "tokens"),
    [("PuLID", {}, pulid, 10), ("PuLID v1.1", {"heads": 2}, pulid_former, 32)],
)
def test_tokens_of_pulid_are_those_of_its_formula(make_file, family, sizes, formula, tokens):
    parts = double(make_file(family, "SDXL", **sizes))
    shapes = (2, 512), (2, 768), *[(2, 7, 1024)] * 5
    identity, embeds, *states = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    adapter = load_adapter(parts)
    features = {"face_embeds_raw": identity, "face_eva_embeds": embeds, "face_eva_hidden": torch.cat(states, 1)}
    expected = formula(parts["image_proj"], identity, embeds, *states)
    assert (adapter.family.name, adapter.num_tokens, adapter.feature_widths) == (family, tokens, (512, 768, 1024))
    torch.testing.assert_close(adapter.tokens(features), expected, **NEAR)


@pytest.mark.parametrize("family", ["PuLID", "PuLID v1.1"])
def test_both_ways_of_naming_the_keys_of_pulid(make_file, family):
    parts = make_file(family, "SDXL")
    layers = {f"{key.replace('_ip', '').replace('to_', 'id_to_')}": t for key, t in parts["ip_adapter"].items()}
    assert "139.id_to_v.weight" in layers
    assert_same({"id_adapter": parts["image_proj"], "id_adapter_attn_layers": layers}, parts)


def test_hidden_states_that_are_not_five_are_refused(make_file):
    features = {"face_embeds_raw": (1, 512), "face_eva_embeds": (1, 768), "face_eva_hidden": (1, 577, 1024)}
    with pytest.raises(ValueError, match="577 positions, which is no multiple of 5: give 5 hidden states"):
        load_adapter(make_file("PuLID", "SDXL")).tokens({name: torch.zeros(shape) for name, shape in features.items()})


@torch.inference_mode()
def test_tokens_of_an_instruction_are_those_of_its_formula(make_file):
    """Each round looks at the image, at the prompt and at the instruction."""
    parts = double(make_file("Instruct", "SD1.5", heads=2))
    weights, adapter = parts["image_proj"], load_adapter(parts)
    hidden, asked, said = (torch.randn(2, *shape, dtype=torch.float64) for shape in ((9, 1280), (7, 768), (5, 768)))
    latents = weights["latents"].repeat(2, 1, 1)
    for number in range(2):
        for layers, projection, seen in (
            ("layers", "proj_in", hidden),
            ("prompt_layers", "proj_prompt_input", said),
            ("new_input_layers", "proj_new_input", asked),
        ):
            latents = resampler_layer(weights, f"{layers}.{number}", linear(weights, projection, seen), latents)
    expected = norm(weights, "norm_out", linear(weights, "proj_out", latents))
    tokens = adapter.tokens({"penultimate": hidden, "instruction": asked, "prompt": said})
    assert adapter.feature_widths == (1280, 768, 768)
    torch.testing.assert_close(tokens, expected, **NEAR)
