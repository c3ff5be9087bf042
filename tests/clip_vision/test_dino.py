"""DINOv2 equals transformers, with and without registers and gates, in both published layouts, at any size."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from witness import ROWS

from image_prompt.clip_vision import (
    describe,
    encode,
    encode_pixels,
    load_encoder,
    pack_weights,
    to_published,
    to_transformers,
)
from image_prompt.clip_vision.network import packing

DEPTH, HEADS, REGISTERS = 3, 4, 4
WANT = ("cls", "patches", "penultimate", "last")
KINDS = ("plain", "gated", "registers", "gated registers")
MODELS = {False: (Dinov2Config, Dinov2Model), True: (Dinov2WithRegistersConfig, Dinov2WithRegistersModel)}


def empty(kind, width, depth, heads, build=None):
    config, model = MODELS["registers" in kind]
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
    gates = {"use_swiglu_ffn": "gated" in kind}
    return (build or model)(config(image_size=518, patch_size=14, **sizes, **gates)).eval()


def narrow(kind, build=None):
    """transformers' encoder, 32 wide, with random weights that leave nothing in its linear part."""
    torch.manual_seed(0)
    model = empty(kind, 8 * HEADS, DEPTH, HEADS, build)
    for name, parameter in model.named_parameters():
        spread = torch.randn(parameter.shape)
        near_one = "norm" in name and name.endswith("weight") or "layer_scale" in name
        parameter.copy_(1 + 0.2 * spread if near_one else 0.3 * spread)
    return model


PUBLISHED = (  # words of transformers 5 -> those in files
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.down_proj", "mlp.weights_out"),
)


def published(model):
    """The weights as files have them."""
    sd, renamed = model.state_dict(), {}
    for key, tensor in sd.items():
        if ".up_proj." in key:
            continue
        if ".gate_proj." in key:
            tensor = torch.cat((tensor, sd[key.replace("gate_proj", "up_proj")]))
        for old, new in (*PUBLISHED, ("mlp.gate_proj", "mlp.weights_in")):
            key = key.replace(old, new)
        renamed[key] = tensor
    return renamed


HUB = (  # words in transformers' files -> those in the authors' own
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.mask_token", "mask_token"),
    ("embeddings.register_tokens", "register_tokens"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("encoder.layer", "blocks"),
    ("layernorm", "norm"),
    ("attention.output.dense", "attn.proj"),
    ("layer_scale1.lambda1", "ls1.gamma"),
    ("layer_scale2.lambda1", "ls2.gamma"),
    ("mlp.weights_in", "mlp.w12"),
    ("mlp.weights_out", "mlp.w3"),
)


def to_hub(sd):
    """Convert the layout of transformers' files to that of the authors' own."""
    renamed = {}
    for key, tensor in sd.items():
        if ".key." in key or ".value." in key:
            continue
        if ".query." in key:
            tensor = torch.cat([sd[key.replace("query", word)] for word in ("query", "key", "value")])
        for old, new in (*HUB, ("attention.attention.query", "attn.qkv")):
            key = key.replace(old, new)
        renamed[key] = tensor
    return renamed


def ours(sd, kind="plain", said=(), **options):
    row = "DINOv2 large/14" + (" with registers" if "registers" in kind else "")
    facts = {"heads": HEADS, "name": row, **dict(said)}
    return load_encoder(sd, metadata={"vision_config": json.dumps(facts)}, **options)


def close(one, other, tolerance=1e-5):
    assert one.shape == other.shape
    assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_transformers_at_any_size(kind):
    model = narrow(kind)
    first = 1 + REGISTERS * ("registers" in kind)
    for size in (224, 384, 518, 546):  # those of its processor, of InstantCharacter, of its training, and a larger one
        pixel_values = torch.randn(1, 3, size, size)
        theirs = model(pixel_values, output_hidden_states=True)
        encoder = ours(published(model), kind, image_size=None if size == 224 else size)
        got = encoder(pixel_values, want=WANT, hidden_layers=(0, 1, 2, 3))
        close(got.last, theirs.last_hidden_state)
        close(got.cls, theirs.pooler_output)
        close(got.patches, theirs.last_hidden_state[:, first:])
        close(got.penultimate, theirs.hidden_states[-2])
        for index, state in got.hidden.items():
            close(state, theirs.hidden_states[index])
        assert encoder.config.tokens == got.last.shape[1] == (size // 14) ** 2 + first


def test_files_are_named_as_transformers_saves_them(tmp_path):
    model = narrow("gated registers")
    model.save_pretrained(tmp_path)
    saved, named = load_file(tmp_path / "model.safetensors"), published(model)
    assert saved.keys() == named.keys() and all(torch.equal(saved[key], named[key]) for key in saved)


@pytest.mark.parametrize("kind", KINDS)
def test_the_authors_own_layout_is_the_same_encoder(kind):
    sd = published(narrow(kind))
    one, other = ours(sd, kind).state_dict(), ours(to_hub(sd), kind).state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_model_that_classifies_is_loaded_without_its_classifier():
    model = narrow("plain", Dinov2ForImageClassification)
    sd = published(model)
    assert "classifier.weight" in sd
    one, other = ours(sd).state_dict(), ours(published(model.dinov2)).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_pictures_are_prepared_as_its_processor_has_it_by_default():
    encoder, seen = ours(published(narrow("plain"))), []
    encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    encode(encoder, torch.full((1, 256, 256, 3), 1.0), want=("cls",))
    mean, std = (torch.tensor(each)[:, None, None] for each in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    close(seen[0], ((1 - mean) / std).expand(1, 3, 224, 224))


def test_a_file_may_say_which_size_it_reads():
    sd = published(narrow("plain"))
    assert ours(sd).config.image_size == 224
    assert ours(sd, said={"image_size": 518}).config.image_size == 518
    saved = to_transformers(ours(sd, image_size=448))
    assert ours(saved).config.image_size == 448


def test_alone_the_class_token_is_the_same():
    model, pixel_values = narrow("gated registers"), torch.randn(2, 3, 224, 224)
    encoder, counted = ours(published(model), "registers"), []
    encoder.layers[-1].register_forward_hook(lambda module, args, output: counted.append(output.shape[1]))
    close(encoder(pixel_values, want=("cls",)).cls, model(pixel_values).pooler_output)
    assert counted == [1]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("image_embeds", "DINOv2 has no visual projection. Ask for cls."),
        ("pooled", "DINOv2 has no pooling head. Ask for cls."),
        ("projected_patches", "DINOv2 has no visual projection. Ask for patches."),
    ],
)
def test_features_that_it_does_not_have_are_refused(feature, message):
    with pytest.raises(ValueError, match=f"DINOv2 large/14 cannot give '{feature}': {message}"):
        ours(published(narrow("plain"))).check_want((feature,))


def test_packed_and_half_precision_point_where_fp32_does():
    sd, pixel_values = published(narrow("gated registers")), torch.randn(1, 3, 224, 224)
    encoder = ours(sd, "registers")
    plain = encoder(pixel_values, want=WANT)
    assert pack_weights(encoder) == packing._available() * 4 * DEPTH
    packed = encoder(pixel_values, want=WANT)
    half = encode_pixels(ours(sd, "registers", dtype=torch.bfloat16), pixel_values, want=WANT)
    for name in WANT:
        close(packed.select(name), plain.select(name), 2e-5)
        assert torch.cosine_similarity(half.select(name), plain.select(name), dim=-1).min() > 0.998


@pytest.mark.parametrize(("size", "registers"), [("small", 4), ("base", 0), ("large", 4), ("giant", 0)])
def test_a_file_of_full_shape_is_identified_and_loads_strictly(size, registers):
    row = ROWS[f"DINOv2 {size}/14{' with registers' * bool(registers)}"]
    kind = "gated" * (size == "giant") + "registers" * bool(registers)
    with torch.device("meta"):
        sd = published(empty(kind, row.width, row.depth, row.heads))
    assert describe(to_hub(sd)) == describe(sd)
    for each in (sd, to_hub(sd)):
        encoder = load_encoder(each)
        config = encoder.config
        assert (config.name, config.kind, config.registers, config.heads) == (row.name, "dino", registers, row.heads)
        assert (config.image_size, config.grid, config.projection) == (224, 16, None)
        assert (config.mean, config.std) == (tuple(IMAGENET_DEFAULT_MEAN), tuple(IMAGENET_DEFAULT_STD))
        assert config.activation == ("silu" if size == "giant" else "gelu")
        left_out = (37**2 - 16**2 + 1) * row.width  # places of larger pictures, and the mask token
        count = sum(parameter.numel() for parameter in encoder.parameters())
        assert count == sum(tensor.numel() for tensor in sd.values()) - left_out


@pytest.mark.parametrize("kind", ["gated", "registers"])
def test_weights_go_back_to_the_layout_of_transformers_bit_for_bit(kind):
    sd = published(narrow(kind))
    encoder = ours(sd, kind, image_size=518)
    back = to_published(encoder)
    assert back.keys() == sd.keys() - {"embeddings.mask_token"}
    assert all(torch.equal(back[key], sd[key]) for key in back)
    assert all(torch.equal(tensor, back[key]) for key, tensor in to_transformers(encoder).items())


L, B = "encoder.layer.", "blocks."


@pytest.mark.parametrize(
    ("hub", "changes", "message"),
    [
        (False, {f"{L}1.layer_scale2.lambda1": None}, "1 weights are missing, first .'layers.1.scale2'"),
        (False, {f"{L}1.layer_scale2.lambda1": torch.zeros(1, 32)}, r"shape \(1, 32\), not 1 dimensions"),
        (False, {f"{L}0.attention.attention.value.bias": None}, "no layers.0.attention.v.bias beside"),
        (False, {f"{L}0.extra.bias": torch.zeros(2)}, "does not know: .*extra.bias"),
        (False, {"embeddings.register_tokens": torch.zeros(4, 32)}, r"shape \(4, 32\), not 3 dimensions"),
        (True, {"cls_token": None}, "1 weights are missing, first .'class_embedding'"),
        (True, {f"{B}0.mlp.fc1.weight": torch.zeros(96, 32)}, "fc1.bias has shape .128,., a DINOv2"),
        (True, {"pos_embed": torch.zeros(1, 257, 31)}, "position_embedding has shape"),
        (True, {"pos_embed": None, "storage_tokens": torch.zeros(1, 4, 32)}, "looks like a DINO other than DINOv2"),
    ],
)
def test_broken_and_similar_files_are_refused(hub, changes, message):
    sd = published(narrow("plain"))
    sd = (to_hub(sd) if hub else sd) | changes
    with pytest.raises(ValueError, match=message):
        ours({key: tensor for key, tensor in sd.items() if tensor is not None})


def test_dino_without_scales_is_refused():
    sd = {key: tensor for key, tensor in to_hub(published(narrow("plain"))).items() if ".ls" not in key}
    with pytest.raises(ValueError, match="looks like a DINO other than DINOv2, .* Choose a CLIP, SigLIP or DINOv2"):
        load_encoder(sd)


def test_its_names_are_no_variant_of_another_encoder():
    with pytest.raises(ValueError, match="'CLIP ViT-L/14' is a clip encoder .* holds a dino encoder"):
        load_encoder(published(narrow("plain")), variant="CLIP ViT-L/14")


def test_the_wrong_size_is_explained():
    with pytest.raises(ValueError, match="Pictures of 13 pixels: give a whole number from 14 to 2048"):
        ours(published(narrow("plain")), image_size=13)
