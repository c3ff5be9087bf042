"""PE-Core equals timm, in timm's layout and in its authors' own, with and without a class token, at any size."""

import json
from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
import witness
from timm.layers import LayerNorm
from timm.models.eva import Eva, checkpoint_filter_fn

from image_prompt.clip_vision import describe, load_encoder, pack_weights, to_published, to_transformers
from image_prompt.clip_vision.network import packing

DEPTH, HEADS = 3, 4
WANT = ("image_embeds", "pooled", "patches", "penultimate", "last")
NAMES = {True: "PE-Core-L14-336", False: "PE-Core-G14-448"}  # with or without a class token


def narrow(class_token, grid=6, **options):
    """timm's encoder, 32 wide, with random weights that leave nothing in its linear part."""
    torch.manual_seed(0)
    model = Eva(
        img_size=14 * grid,
        patch_size=14,
        embed_dim=8 * HEADS,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=6,
        num_classes=24,
        global_pool="map",
        attn_type="rope",
        class_token=class_token,
        use_pre_transformer_norm=True,
        use_rot_pos_emb=True,
        rope_grid_offset=float(class_token),
        rope_grid_indexing="xy",
        attn_pool_num_heads=8,
        attn_pool_mlp_ratio=4.0,
        norm_layer=partial(LayerNorm, eps=1e-5),
        **options,
    ).eval()
    for name, parameter in model.named_parameters():
        spread = torch.randn(parameter.shape)
        parameter.copy_(1 + 0.2 * spread if "norm" in name and name.endswith("weight") else 0.3 * spread)
    model.head.bias.zero_()  # as in its authors' files, which have none
    return model


META = (  # timm's words -> those of the authors
    ("patch_embed.proj", "conv1"),
    ("pos_embed", "positional_embedding"),
    ("cls_token", "class_embedding"),
    ("norm_pre", "ln_pre"),
    ("attn_pool.latent", "attn_pool.probe"),
    ("attn_pool.norm", "attn_pool.layernorm"),
    ("attn_pool.proj", "attn_pool.attn.out_proj"),
    ("attn_pool.mlp.fc1", "attn_pool.mlp.c_fc"),
    ("attn_pool.mlp.fc2", "attn_pool.mlp.c_proj"),
    ("blocks.", "transformer.resblocks."),
    ("norm1", "ln_1"),
    ("norm2", "ln_2"),
    ("attn.qkv.", "attn.in_proj_"),
    ("attn.proj", "attn.out_proj"),
    (".mlp.fc1", ".mlp.c_fc"),
    (".mlp.fc2", ".mlp.c_proj"),
)


def to_meta(sd):
    """Convert timm's layout to `visual.*` of the authors."""
    renamed = {"visual.proj": sd["head.weight"].t().contiguous()}
    for kind in ("weight", "bias"):
        both = (sd[f"attn_pool.q.{kind}"], sd[f"attn_pool.kv.{kind}"])
        renamed[f"visual.attn_pool.attn.in_proj_{kind}"] = torch.cat(both)
        renamed[f"visual.ln_post.{kind}"] = sd[f"norm.{kind}"]
    for key, tensor in sd.items():
        if key.startswith(("head.", "attn_pool.q.", "attn_pool.kv.", "norm.")):
            continue
        tensor = tensor.flatten() if key == "cls_token" else tensor[0] if key == "pos_embed" else tensor
        for old, new in META:
            key = key.replace(old, new)
        renamed[f"visual.{key}"] = tensor
    return renamed


def layouts(sd):
    meta = to_meta(sd)
    return {
        "timm": sd,
        "timm in OpenCLIP": {f"visual.trunk.{key}": tensor for key, tensor in sd.items()} | witness.openclip_text(),
        "authors": meta | witness.openclip_text(),
        "authors' tower": {key.removeprefix("visual."): tensor for key, tensor in meta.items()},
    }


def ours(sd, class_token=True, **options):
    facts = {"heads": HEADS, "name": NAMES[class_token]}
    return load_encoder(sd, metadata={"vision_config": json.dumps(facts)}, **options)


def close(one, other, tolerance=1e-5):
    assert one.shape == other.shape
    assert (one - other).abs().max() <= tolerance * other.abs().max()


def check_equal(encoder, model, class_token):
    pixel_values = torch.randn(2, 3, encoder.config.image_size, encoder.config.image_size)
    got = encoder(pixel_values, want=(*WANT, *["cls"] * class_token), hidden_layers=range(DEPTH + 1))
    last, states = model.forward_intermediates(pixel_values, output_fmt="NLC", return_prefix_tokens=class_token)
    states = [torch.cat((first, rest), dim=1) for rest, first in states] if class_token else states
    close(got.image_embeds, model(pixel_values))
    close(got.pooled, model.pool(last))
    close(got.last, last)
    close(got.patches, last[:, int(class_token) :])
    close(got.penultimate, states[-2])
    for index, state in enumerate(states, start=1):
        close(got.hidden[index], state)
    if class_token:
        close(got.cls, last[:, 0])


@pytest.mark.parametrize("class_token", [True, False])
def test_it_equals_timm(class_token):
    model = narrow(class_token)
    check_equal(ours(model.state_dict(), class_token), model, class_token)


@pytest.mark.parametrize("class_token", [True, False])
def test_at_another_size_angles_count_on_and_positions_are_interpolated_as_its_authors_do(class_token):
    model, larger = narrow(class_token), narrow(class_token, grid=9)
    sd, first = model.state_dict(), int(class_token)
    places = sd["pos_embed"][:, first:].transpose(1, 2).unflatten(2, (6, 6))
    places = F.interpolate(places, size=(9, 9), mode="bilinear").flatten(2).transpose(1, 2)
    larger.load_state_dict(sd | {"pos_embed": torch.cat((sd["pos_embed"][:, :first], places), dim=1)})
    check_equal(ours(sd, class_token, image_size=126), larger, class_token)


@pytest.mark.parametrize("class_token", [True, False])
def test_every_layout_is_the_same_encoder(class_token):
    sd = narrow(class_token).state_dict()
    expected = ours(sd, class_token).state_dict()
    for each in layouts(sd).values():
        found = ours(each, class_token).state_dict()
        assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_the_layout_of_the_authors_is_that_which_timm_converts():
    model = narrow(True)
    found, sd = checkpoint_filter_fn(to_meta(model.state_dict()), model), model.state_dict()
    assert found.keys() == sd.keys() and all(torch.equal(found[key], sd[key]) for key in sd)


def test_packed_equals_unpacked_and_half_precision_points_where_fp32_does():
    sd, pixel_values = narrow(True).state_dict(), torch.randn(1, 3, 84, 84)
    encoder, half = ours(sd), ours(sd, dtype=torch.bfloat16)
    plain = encoder(pixel_values, want=WANT)
    assert pack_weights(encoder) == packing._available() * (4 * DEPTH + 6)
    packed, rough = encoder(pixel_values, want=WANT), half(pixel_values, want=WANT)
    for name in WANT:
        close(packed.select(name), plain.select(name), 2e-5)
        assert torch.cosine_similarity(rough.select(name).float(), plain.select(name), dim=-1).min() > 0.998


@pytest.mark.parametrize(
    ("model", "name", "heads"),
    [
        ("vit_pe_core_tiny_patch16_384", "PE-Core-T16-384", 3),
        ("vit_pe_core_small_patch16_384", "PE-Core-S16-384", 6),
        ("vit_pe_core_base_patch16_224", "PE-Core-B16-224", 12),
        ("vit_pe_core_large_patch14_336", "PE-Core-L14-336", 16),
        ("vit_pe_core_gigantic_patch14_448", "PE-Core-G14-448", 16),
    ],
)
def test_a_file_of_full_shape_is_identified_and_loads_strictly(model, name, heads):
    with torch.device("meta"):
        sd = timm.create_model(model).state_dict()
    cfg = timm.models.get_pretrained_cfg(model)
    encoder = load_encoder(sd)
    config = encoder.config
    assert (config.name, config.kind, config.heads, config.activation) == (name, "pe", heads, "gelu")
    assert (config.image_size, config.mean, config.std) == (cfg.input_size[1], cfg.mean, cfg.std)
    assert config.projection == cfg.num_classes
    assert sum(each.numel() for each in encoder.parameters()) == sum(each.numel() for each in sd.values())
    assert describe(to_meta(sd)) == config


def test_features_that_it_does_not_have_are_refused():
    sd = narrow(False).state_dict()
    for feature, message in (
        ("cls", "PE-Core has no class token. Ask for pooled."),
        ("projected_patches", "PE-Core has no visual projection of patches. Ask for patches."),
    ):
        with pytest.raises(ValueError, match=f"PE-Core-G14-448 cannot give '{feature}': {message}"):
            ours(sd, False).check_want((feature,))
    alone = ours({key: tensor for key, tensor in sd.items() if not key.startswith("head.")}, False)
    with pytest.raises(ValueError, match="holds no visual projection. Hidden states and pooled are there; for image_"):
        alone.check_want(("image_embeds",))
    assert alone.gives("pooled") and not alone.gives("image_embeds")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attn_pool.q.bias": None}, "1 weights are missing, first .'head.q.bias'"),
        ({"head.bias": None}, "1 weights are missing, first .'projection.bias'"),
        ({"norm_pre.bias": None}, "1 weights are missing, first .'pre_norm.bias'"),
        ({"blocks.0.gamma_1": torch.zeros(32)}, "does not know: .*blocks.0.gamma_1"),
        ({"pos_embed": torch.zeros(1, 36, 32)}, "no square grid"),
        ({"attn_pool.latent": torch.zeros(1, 32)}, r"shape \(1, 32\), not 3 dimensions"),
    ],
)
def test_broken_files_are_refused(changes, message):
    sd = narrow(True).state_dict() | changes
    with pytest.raises(ValueError, match=message):
        ours({key: tensor for key, tensor in sd.items() if tensor is not None})


def test_its_kin_are_refused_by_name():
    tower = layouts(narrow(True).state_dict())["authors' tower"]
    kin = {key: tensor for key, tensor in tower.items() if not key.startswith(("attn_pool.", "ln_post.", "proj"))}
    with pytest.raises(ValueError, match="looks like a PE-Lang or PE-Spatial, which is not supported"):
        load_encoder(kin | {"transformer.resblocks.0.ls_1.gamma": torch.zeros(32)})


def test_weights_go_back_to_the_layout_of_timm_bit_for_bit():
    sd = narrow(True).state_dict()
    encoder = ours(sd)
    back = to_published(encoder)
    assert back.keys() == sd.keys() and all(torch.equal(back[key], sd[key]) for key in sd)
    with pytest.raises(ValueError, match="transformers has no PE-Core encoder"):
        to_transformers(encoder)
