"""EVA02-CLIP equals timm, in both published layouts, and the layouts are loaded strictly."""

import pytest
import timm
import torch
import witness
from timm.models.eva import Eva
from witness import ROWS

from image_prompt.clip_vision import encode_pixels, load_encoder, pack_weights, to_published, to_transformers
from image_prompt.clip_vision.network import packing

ROW = ROWS["EVA02-CLIP-L-336"]
DEPTH, HEADS = 3, 4
WANT = ("image_embeds", "cls", "patches", "penultimate", "last", "projected_patches")


def narrow(size=ROW.image_size):
    """timm's encoder, 32 wide, with random weights that leave nothing in its linear part."""
    torch.manual_seed(0)
    model = Eva(
        img_size=size,
        patch_size=ROW.patch,
        embed_dim=8 * HEADS,
        depth=DEPTH,
        num_heads=HEADS,
        num_classes=24,
        mlp_ratio=4 * 2 / 3,
        qkv_fused=False,
        swiglu_mlp=True,
        scale_mlp=True,
        scale_attn_inner=True,
        use_rot_pos_emb=True,
        ref_feat_shape=(16, 16),
        global_pool="token",
    ).eval()
    for name, parameter in model.named_parameters():
        spread = torch.randn(parameter.shape)
        parameter.copy_(1 + 0.2 * spread if "norm" in name and name.endswith("weight") else 0.3 * spread)
    return model


ORIGINAL = (  # timm's words -> those of EVA-CLIP
    ("attn.q_proj.bias", "attn.q_bias"),
    ("attn.v_proj.bias", "attn.v_bias"),
    ("attn.norm", "attn.inner_attn_ln"),
    ("mlp.norm", "mlp.ffn_ln"),
    ("mlp.fc1_g", "mlp.w1"),
    ("mlp.fc1_x", "mlp.w2"),
    ("mlp.fc2", "mlp.w3"),
)


def to_original(sd):
    """Convert timm's layout to `visual.*` of EVA-CLIP, without its tables of angles."""
    renamed = {}
    for key, tensor in sd.items():
        for old, new in ORIGINAL:
            key = key.replace(old, new)
        renamed[f"visual.{key}"] = tensor
    return renamed


def tables(depth, angles=(576, 64)):
    """What EVA-CLIP's files hold of angles, once for the model and once for each block."""
    places = ["visual.rope", *(f"visual.blocks.{number}.attn.rope" for number in range(depth))]
    return {f"{place}.freqs_{wave}": torch.zeros(angles) for place in places for wave in ("cos", "sin")}


def layouts(sd):
    original = to_original(sd)
    text = {f"text.{key}": tensor for key, tensor in witness.openclip_text().items() if key != "logit_scale"}
    return {
        "timm": sd,
        "timm in OpenCLIP": {f"visual.trunk.{key}": tensor for key, tensor in sd.items()} | witness.openclip_text(),
        "EVA-CLIP": original | tables(DEPTH) | text | {"logit_scale": torch.tensor(4.6)},
        "EVA-CLIP without text": original,
        "EVA-CLIP tower": {key.removeprefix("visual."): tensor for key, tensor in (original | tables(DEPTH)).items()},
    }


def facts(size=ROW.image_size):
    """The metadata by which the narrow encoder describes itself."""
    return {"vision_config": f'{{"heads": {HEADS}, "image_size": {size}, "name": "{ROW.name}"}}'}


def ours(sd, **options):
    return load_encoder(sd, metadata=facts(), **options)


def theirs(model, pixel_values):
    """timm's features: the input of the first block, and the output of each."""
    states = []
    hooks = [model.blocks[0].register_forward_pre_hook(lambda block, args: states.append(args[0]))]
    hooks += [block.register_forward_hook(lambda block, args, output: states.append(output)) for block in model.blocks]
    embeds = model(pixel_values)
    for hook in hooks:
        hook.remove()
    normed = model.norm(states[-1])
    return {
        "image_embeds": embeds,
        "cls": normed[:, 0],
        "patches": states[-1][:, 1:],
        "penultimate": states[-2],
        "last": states[-1],
        "projected_patches": model.head(normed),
        "states": states,
    }


def close(one, other, tolerance=1e-5):
    assert one.shape == other.shape
    assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize("layout", layouts({}))
def test_it_equals_timm_in_every_layout(layout):
    model, pixel_values = narrow(), witness.pixels(ROW)
    expected = theirs(model, pixel_values)
    encoder = ours(layouts(model.state_dict())[layout])
    got = encoder(pixel_values, want=WANT, hidden_layers=(0, 1, 2, 3, -1))
    for name in WANT:
        close(got.select(name), expected[name])
    for index, state in got.hidden.items():
        close(state, expected["states"][index])
    assert encoder.config.name == ROW.name and got.pooled is None


def test_alone_the_class_token_is_the_same():
    model, pixel_values = narrow(), witness.pixels(ROW)
    encoder = ours(model.state_dict())
    counted = []
    encoder.layers[-1].register_forward_hook(lambda module, args, output: counted.append(output.shape[1]))
    close(encoder(pixel_values).image_embeds, theirs(model, pixel_values)["image_embeds"])
    assert counted == [1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_point_where_fp32_does(dtype):
    sd, pixel_values = narrow().state_dict(), witness.pixels(ROW)
    full, half = (encode_pixels(ours(sd, dtype=each), pixel_values, want=WANT) for each in (torch.float32, dtype))
    for name in WANT:
        assert torch.cosine_similarity(full.select(name), half.select(name), dim=-1).min() > 0.999


def test_packed_equals_unpacked():
    encoder, pixel_values = ours(narrow().state_dict()), witness.pixels(ROW)
    plain = encoder(pixel_values, want=WANT)
    assert pack_weights(encoder) == packing._available() * (4 * DEPTH + 1)
    packed = encoder(pixel_values, want=WANT)
    for name in WANT:
        close(packed.select(name), plain.select(name), 2e-5)


def full_shape(name):
    with torch.device("meta"):
        return timm.create_model(name).state_dict()


@pytest.mark.parametrize(
    ("model", "name", "embeds"),
    [
        ("eva02_base_patch16_clip_224", "EVA02-CLIP-B-16", 512),
        ("eva02_large_patch14_clip_224", "EVA02-CLIP-L-14", 768),
        ("eva02_large_patch14_clip_336", "EVA02-CLIP-L-336", 768),
    ],
)
def test_a_file_of_full_shape_is_identified_and_loads_strictly(model, name, embeds):
    row, sd = ROWS[name], full_shape(model)
    cfg = timm.models.get_pretrained_cfg(model)
    keys_without_bias = row.depth * row.width
    for each in (sd, to_original(sd) | tables(row.depth)):
        encoder = load_encoder(each)
        config = encoder.config
        assert (config.name, config.kind, config.projection, config.heads) == (name, "eva", embeds, row.heads)
        assert (config.image_size, config.mean, config.std) == (cfg.input_size[1], cfg.mean, cfg.std)
        count = sum(parameter.numel() for parameter in encoder.parameters())
        assert count == sum(tensor.numel() for tensor in sd.values()) + keys_without_bias


B = "visual.blocks."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{B}1.attn.v_bias": None}, "no layers.1.attention.v_bias beside layers.1.attention.q_bias"),
        ({f"{B}0.mlp.w2.weight": None}, "no layers.0.mlp.value.weight beside layers.0.mlp.gate.weight"),
        ({f"{B}2.mlp.ffn_ln.weight": None}, "1 weights are missing, first .'layers.2.mlp.norm.weight'"),
        ({"visual.head.bias": None}, "1 weights are missing, first .'projection.bias'"),
        ({"visual.cls_token": None}, "1 weights are missing, first .'class_embedding'"),
        ({f"{B}0.attn.k_bias": torch.zeros(32)}, "does not know: .*attn.k_bias"),
        ({"visual.cls_token": torch.zeros(32)}, r"cls_token has shape \(32,\), not 3 dimensions"),
        ({"visual.pos_embed": torch.zeros(1, 500, 32)}, "no square grid"),
    ],
)
def test_broken_files_are_refused(changes, message):
    sd = to_original(narrow().state_dict()) | changes
    with pytest.raises(ValueError, match=message):
        ours({key: tensor for key, tensor in sd.items() if tensor is not None})


def test_weights_go_back_to_the_layout_of_eva_clip_bit_for_bit():
    sd = to_original(narrow().state_dict())
    encoder = ours(sd)
    back = to_published(encoder)
    assert back.keys() == sd.keys() and all(torch.equal(back[key], sd[key]) for key in sd)
    with pytest.raises(ValueError, match="transformers has no EVA02-CLIP encoder"):
        to_transformers(encoder)
