"""Headers are identified as what the loaders make of the files, and all other kinds of file by what they are."""

import json
import re
from pathlib import Path

import published
import pytest
import torch
from published import LAYOUTS, VIT_H, VIT_L, bigger, header_of, headless, shapes

from image_prompt.clip_vision import load_encoder
from image_prompt.devtools.published import linear, norm
from image_prompt.ip_adapter import APPLIED, ENCODERS, load_adapter
from image_prompt.ip_adapter.checkpoint import describe
from image_prompt.model_files.catalogue import word_of
from image_prompt.model_files.index import Identity, identify
from image_prompt.model_files.index.identification import MAX_TENSORS
from image_prompt.tensor_files import Header, TensorInfo, read_header
from image_prompt.tensor_files.weights import DTYPES, PACKED, on_meta

ADAPTERS = [name for name, layout in LAYOUTS.items() if "family" in layout]
ENCODER_FILES = {
    VIT_H: "CLIP ViT-H/14",
    VIT_L: "CLIP ViT-L/14",
    "open_clip_ViT-L-14_visual": "CLIP ViT-L/14",
    "sigclip_vision_patch14_384": "SigLIP so400m/14-384",
}
FACES = {  # layout -> family, base model
    "infiniteyou-image_proj_model": ("infiniteyou", "Flux"),
    "pulid_flux_v0.9.1": ("pulid-flux", "Flux"),
}
SHORT = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
LORAS = {"ip-adapter-faceid_sd15_lora": "SD1.5", "ip-adapter-faceid_sdxl_lora": "SDXL"}


def meta(name, dtype=torch.float16):
    return {key: torch.empty(shape, device="meta", dtype=dtype) for key, shape in shapes(name).items()}


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_identified_as_it_loads(name):
    """An adapter is identified as what it is once loaded; tests/ip_adapter checks that it loads."""
    layout = LAYOUTS[name]
    assert identify(published.published(name)) == Identity(
        "adapter",
        load_adapter(meta(name)).family.id,
        layout["base_model"],
        layout["encoder"],
        projection=layout["feature"] in ("image_embeds", "face_eva_embeds"),
    )


@pytest.mark.parametrize("name", ENCODER_FILES)
def test_an_encoder_is_identified_as_it_loads(name):
    found = identify(published.published(name), f"{name}.safetensors")
    assert (found.kind, found.family, found.problem) == ("encoder", ENCODER_FILES[name], "")
    assert found.encoder in ENCODERS.values()
    assert found.projection
    assert found.also == ()


def timm_eva(width=1024, mlp=2730):
    """EVA02-CLIP-L-336 as timm has it."""
    found = {"cls_token": (1, 1, width), "pos_embed": (1, 577, width)} | linear("head", 768, width)
    found |= {"patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,)} | norm("norm", width)
    for block in (f"blocks.{number}" for number in range(24)):
        for name in ("q", "k", "v"):
            found |= linear(f"{block}.attn.{name}_proj", width, width, bias=name != "k")
        found |= linear(f"{block}.attn.proj", width, width) | norm(f"{block}.attn.norm", width)
        found |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width) | norm(f"{block}.mlp.norm", mlp)
        found |= linear(f"{block}.mlp.fc1_g", mlp, width) | linear(f"{block}.mlp.fc1_x", mlp, width)
        found |= linear(f"{block}.mlp.fc2", width, mlp)
    return found


ORIGINAL = {  # timm's words -> those of EVA-CLIP
    **{"attn.q_proj.bias": "attn.q_bias", "attn.v_proj.bias": "attn.v_bias", "attn.norm": "attn.inner_attn_ln"},
    **{"mlp.norm": "mlp.ffn_ln", "mlp.fc1_g": "mlp.w1", "mlp.fc1_x": "mlp.w2", "mlp.fc2": "mlp.w3"},
}
TEXT = {"text.token_embedding.weight": (49408, 768), "logit_scale": ()}


def eva_clip():
    """The same as EVA-CLIP's own file has it."""
    words = re.compile("|".join(map(re.escape, ORIGINAL)))
    return {f"visual.{words.sub(lambda found: ORIGINAL[found[0]], key)}": shape for key, shape in timm_eva().items()}


def csd():
    """CSD as its authors publish it, in the checkpoint of a trainer."""
    tower = {key: shape for key, shape in shapes("open_clip_ViT-L-14_visual").items() if key != "visual.proj"}
    heads = {"last_layer_style": (1024, 768), "last_layer_content": (1024, 768)}
    named = {key.replace("visual.", "backbone."): shape for key, shape in tower.items()} | heads
    return {f"model_state_dict.module.{key}": shape for key, shape in named.items()} | {
        "optimizer.state.0.exp_avg": (3,)
    }


def dino(registers=0):
    """DINOv2 giant as transformers has it."""
    found = {"embeddings.cls_token": (1, 1, 1536), "embeddings.mask_token": (1, 1536)} | norm("layernorm", 1536)
    found |= {"embeddings.position_embeddings": (1, 1370, 1536)}
    found |= {"embeddings.register_tokens": (1, registers, 1536)} if registers else {}
    patches = "embeddings.patch_embeddings.projection"
    found |= {f"{patches}.weight": (1536, 3, 14, 14), f"{patches}.bias": (1536,)}
    for layer in (f"encoder.layer.{number}" for number in range(40)):
        for name in ("attention.query", "attention.key", "attention.value", "output.dense"):
            found |= linear(f"{layer}.attention.{name}", 1536, 1536)
        found |= norm(f"{layer}.norm1", 1536) | norm(f"{layer}.norm2", 1536)
        found |= {f"{layer}.layer_scale{number}.lambda1": (1536,) for number in (1, 2)}
        found |= linear(f"{layer}.mlp.weights_in", 8192, 1536) | linear(f"{layer}.mlp.weights_out", 1536, 4096)
    return found


@pytest.mark.parametrize(
    ("tensors", "encoder"),
    [
        (dino(), "DINOv2 giant/14"),
        (dino(4), "DINOv2 giant/14 with registers"),
        ({f"visual.trunk.{key}": shape for key, shape in timm_eva().items()} | TEXT, "EVA02-CLIP-L-336"),
        (timm_eva(), "EVA02-CLIP-L-336"),
        (eva_clip() | TEXT, "EVA02-CLIP-L-336"),
        (csd(), "CSD ViT-L/14"),
    ],
    ids=["DINOv2", "DINOv2 with registers", "timm in OpenCLIP", "timm", "EVA-CLIP", "CSD"],
)
def test_the_encoders_of_faces_and_styles_are_identified(tensors, encoder):
    found = identify(Header("torch archive", header_of(tensors).tensors, {}), "model.bin")
    assert found == Identity("encoder", encoder, encoder=encoder, projection="DINO" not in encoder)
    if not any(key.startswith("model_state_dict") for key in tensors):  # those are taken out of it when it is read
        with pytest.raises(ValueError, match="This file is an image encoder.*Put it in models/clip_vision"):
            load_adapter(on_meta(header_of(tensors).tensors))


def test_every_other_published_file_is_called_what_the_loader_calls_it():
    for name in [name for name, layout in LAYOUTS.items() if "refused" in layout and name not in ENCODER_FILES]:
        found = identify(published.published(name))
        if name in LORAS:
            assert found == Identity("lora", "faceid-lora", LORAS[name])
            continue
        if name in FACES:
            assert (found.kind, (found.family, found.base_model)) == ("face adapter", FACES[name]), name
        else:
            assert (found.kind, word_of(found.family)) == ("other", LAYOUTS[name]["refused"]), name
        with pytest.raises(ValueError) as error:
            load_adapter(meta(name))
        assert found.problem == str(error.value), name


def test_each_published_file_is_in_a_test():
    assert {*ADAPTERS, *ENCODER_FILES, *FACES, *LORAS} <= set(LAYOUTS)


@pytest.mark.parametrize(
    ("name", "file", "dtype", "family"),
    [
        ("ip-adapter-faceid-plus_sd15", "ip-adapter-faceid-plusv2_sd15.bin", "F16", "faceid-plus-v2"),
        ("ip-adapter-faceid-plus_sd15", "/srv/comfyui-v2/ipadapter/mine.bin", "F16", "faceid-plus"),
        ("ip-adapter-faceid-plus_sd15", "/srv/ipadapter/faceid-plus-v2/mine.bin", "F16", "faceid-plus-v2"),
        ("ip-adapter-faceid-plus_sd15", "ip-adapter-faceid-plus_sd15.bin", "F16", "faceid-plus"),
        ("ip-adapter-faceid-plusv2_sdxl", "renamed.bin", "F16", "faceid-plus-v2"),
        ("ip-adapter-faceid-portrait_sdxl_unnorm", "instantid/ip-adapter.bin", "F16", "instantid"),
        ("ip-adapter-faceid-portrait_sdxl_unnorm", "ip-adapter.bin", "F32", "instantid"),
        (
            "ip-adapter-faceid-portrait_sdxl_unnorm",
            "ip-adapter-faceid-portrait_sdxl_unnorm.bin",
            "F32",
            "faceid-portrait-unnorm",
        ),
    ],
)
def test_the_name_decides_where_shapes_are_equal(name, file, dtype, family):
    assert identify(published.published(name, dtype), file).family == family


SECTION_10 = {  # name of a published file -> family; all others are those of the layout in tests/checkpoints
    "ip-adapter-faceid-plusv2_sd15.bin": "faceid-plus-v2",
    "instantid-ip-adapter.bin": "instantid",
}


@pytest.mark.parametrize("name", [file for layout in ADAPTERS for file in LAYOUTS[layout]["files"]])
def test_every_published_name_is_of_the_family_that_its_file_has(name):
    """By the layout, the dtypes and the name of the file together, as the index has them."""
    (layout,) = (each for each in ADAPTERS if name in LAYOUTS[each]["files"])
    dtype = LAYOUTS[layout]["files"][name]["dtype"]
    by_part = dtype if isinstance(dtype, dict) else dict.fromkeys(LAYOUTS[layout]["tensors"], dtype)
    tensors = {
        f"{part}.{key}" if part else key: TensorInfo(SHORT[by_part[part]], tuple(shape))
        for part, each in LAYOUTS[layout]["tensors"].items()
        for key, shape in each.items()
    }
    found = identify(Header("torch archive", tensors, {}), name, f"/models/ipadapter/{name}")
    named = {family.id for family in APPLIED if family.name == LAYOUTS[layout]["family"]}  # some have one name
    expected = {SECTION_10[name]} if name in SECTION_10 else named
    assert found.family in expected and not found.problem


def test_a_renamed_file_is_known_by_its_folder_and_dtypes():
    unnorm, v2 = "ip-adapter-faceid-portrait_sdxl_unnorm", "ip-adapter-faceid-plus_sd15"
    cases = {
        (unnorm, "F16", "/data/instantid/mine.bin"): "instantid",
        (unnorm, "F32", "/data/ipadapter/mine.bin"): "instantid",
        (unnorm, "F16", "/instant/ipadapter/mine.bin"): "faceid-portrait-unnorm",
        (v2, "F16", "/data/v2/mine.bin"): "faceid-plus-v2",
        (v2, "F16", "/v2/ipadapter/mine.bin"): "faceid-plus",
    }
    for (layout, dtype, path), family in cases.items():
        assert identify(published.published(layout, dtype), "mine.bin", path).family == family, path


def stretched():
    """A ViT-H with the position embeddings of pictures of 448 pixels."""
    return {
        key: (1025, 1280) if key.endswith("position_embedding.weight") else shape
        for key, shape in shapes(VIT_H).items()
    }


@pytest.mark.parametrize(
    ("tensors", "file", "family", "encoder", "projection"),
    [
        (headless(shapes(VIT_H)), "clip_vision_h.safetensors", "CLIP ViT-H/14", "CLIP ViT-H/14", False),
        (
            shapes(VIT_H),
            "DFN5B-CLIP-ViT-H-14.safetensors",
            "CLIP ViT-H/14 quick-gelu",
            "CLIP ViT-H/14 quick-gelu",
            True,
        ),
        (bigger(), "model.safetensors", "CLIP ViT-bigG/14", "CLIP ViT-bigG/14", True),
        (stretched(), "model.safetensors", "CLIP ViT-H/14", "CLIP ViT-H/14", True),
        (
            shapes(VIT_L),
            "CLIP-ViT-L-14-laion2B/model.safetensors",
            "CLIP ViT-L/14 LAION-2B",
            "CLIP ViT-L/14 LAION-2B",
            True,
        ),
    ],
)
def test_encoders_of_equal_shape_that_compute_otherwise_are_kept_apart(tensors, file, family, encoder, projection):
    found = identify(header_of(tensors), file)
    assert (found.family, found.encoder, found.projection) == (family, encoder, projection)


def test_nothing_is_logged(caplog):
    caplog.set_level("DEBUG")
    identify(header_of(shapes(VIT_L)), "mine.safetensors")
    assert not caplog.messages


def tiny_encoder(width=64, projection=32):
    """An encoder with published key names, in sizes that are in no table."""
    sizes = {1280: width, 5120: 2 * width, 1024: projection}
    return {
        key: tuple(sizes.get(size, size) for size in shape)
        for key, shape in shapes(VIT_H).items()
        if "layers." not in key or "layers.0." in key
    }


def test_an_encoder_of_no_table_answers_to_its_widths():
    found = identify(header_of(tiny_encoder(), vision_config='{"name": "demo ViT", "heads": 4}'))
    assert (found.family, found.encoder, found.problem) == ("demo ViT", "demo ViT", "")
    assert found.also == ("an encoder whose image_embeds is 32 wide", "an encoder whose penultimate is 64 wide")


def test_an_encoder_of_no_table_does_not_pass_for_a_known_one():
    found = identify(header_of(tiny_encoder(width=1280), vision_config='{"heads": 16}'))
    assert found.encoder not in ENCODERS.values()
    assert found.also == ("an encoder whose image_embeds is 32 wide",)


@pytest.mark.parametrize(
    ("change", "dtype", "words"),
    [
        (lambda sd: sd.pop("vision_model.pre_layrnorm.bias"), "F16", "incomplete"),
        (lambda sd: None, "I8", "quantised encoders are not supported"),
        (lambda sd: sd.update({"multi_modal_projector.linear_1.weight": (4, 4)}), "F16", "LLaVA"),
    ],
)
def test_an_encoder_that_would_not_load_says_why(change, dtype, words):
    tensors = shapes(VIT_L)
    change(tensors)
    found = identify(header_of(tensors, dtype))
    assert found.kind == "encoder"
    assert words in found.problem
    with pytest.raises(ValueError) as error:
        load_encoder(
            {key: torch.empty(shape, device="meta", dtype=DTYPES.get(dtype, PACKED)) for key, shape in tensors.items()}
        )
    assert found.problem == str(error.value)


@pytest.mark.parametrize("key", ["ip_adapter.31.to_v_ip.weight", "image_proj.norm.bias"])
def test_a_damaged_adapter_stays_an_adapter_and_says_why(key):
    tensors = shapes("ip-adapter_sd15")
    del tensors[key]
    found = identify(header_of(tensors))
    assert (found.kind, found.family) == ("adapter", "unknown-adapter")
    assert key in found.problem


def test_every_dtype_that_loads_is_taken():
    for dtype in ("F32", "BF16", "F64", "F8_E4M3", "F8_E5M2"):
        assert identify(published.published("ip-adapter_sd15", dtype)).problem == ""
    assert identify(published.published(VIT_L, "F8_E4M3")).problem == ""


def test_a_quantised_adapter_is_refused():
    assert "not floating point" in identify(published.published("ip-adapter_sd15", "U8")).problem


@pytest.mark.parametrize(
    ("tensors", "kind", "family"),
    [
        (
            {
                "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
                "first_stage_model.decoder.conv_in.weight": (4,),
                "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (4,),
            },
            "other",
            "checkpoint",
        ),
        (
            {f"lora_unet_down_blocks_{n}_attentions_0_proj_in.lora_down.weight": (8, 320) for n in range(9)},
            "lora",
            "lora",
        ),
        ({"decoder.conv_in.weight": (4, 4, 3, 3)}, "other", "vae"),
        ({"text_model.encoder.layers.0.mlp.fc1.weight": (4, 4)}, "other", "text-encoder"),
        (
            {"cls_token": (1, 1, 768), "blocks.0.attn.qkv.weight": (4, 4)},
            "other",
            "vision-transformer",
        ),
        ({"mystery": (3,)}, "other", "unknown"),
        ({}, "other", "unknown"),
    ],
)
def test_other_kinds_are_named(tensors, kind, family):
    found = identify(header_of(tensors))
    assert (found.kind, found.family) == (kind, family)
    assert found.problem


def test_a_lora_of_another_rank_or_reach_or_with_alphas_is_no_companion():
    tensors = shapes("ip-adapter-faceid_sd15_lora")
    smaller = {key: tuple(64 if size == 128 else size for size in shape) for key, shape in tensors.items()}
    assert identify(header_of(smaller)).family == "lora"
    first = next(iter(tensors))
    assert identify(header_of({first: tensors[first]})).family == "lora"
    alpha = {key: shape for key, shape in tensors.items() if key != first} | {"lora_unet_x.alpha": ()}
    assert identify(header_of(alpha)).family == "lora"


def test_what_a_trainer_put_around_a_state_dict_is_taken_off():
    plain = header_of(shapes(VIT_L)).tensors
    around = {f"state_dict.{key}": info for key, info in plain.items()} | {"optimizer.state": TensorInfo("F32", (3,))}
    for tensors in (plain, around):
        assert identify(Header("torch archive", tensors, {})).encoder == "CLIP ViT-L/14"


def test_a_checkpoint_of_very_many_tensors_is_decided_by_one_of_each_row(monkeypatch):
    tensors = {f"model.diffusion_model.input_blocks.{n}.0.weight": (4, 4) for n in range(20_000)}
    made = []
    monkeypatch.setattr(
        "image_prompt.model_files.index.identification.describe_adapter",
        lambda sd, **options: made.append(len(sd)) or describe(sd, **options),
    )
    assert identify(header_of(tensors)).family == "diffusion-model"
    assert made == [1]


def test_more_tensors_than_any_model_has_are_not_looked_at():
    info = TensorInfo("F16", (1,))
    found = identify(Header("safetensors", {f"image_proj.{n}": info for n in range(MAX_TENSORS + 1)}, {}))
    assert "100,001 tensors" in found.problem


HUGE = 2**62


@pytest.mark.parametrize(
    "tensors",
    [
        {"image_proj.latents": (0, HUGE, HUGE), "ip_adapter.1.to_k_ip.weight": (HUGE, 768)},
        {
            "image_proj.proj.weight": (HUGE, 2),
            "image_proj.norm.weight": (2,),
            "ip_adapter.1.to_k_ip.weight": (2**40, 768),
        },
        {key: tuple(HUGE if size == 1280 else size for size in shape) for key, shape in shapes(VIT_H).items()},
        {
            "visual.conv1.weight": (2**31, 3, 1, 1),
            "visual.positional_embedding": (5, 2**31),
            "visual.class_embedding": (2**31,),
            "visual.transformer.resblocks.0.mlp.c_fc.weight": (2**31, 2**31),
        },
        {"image_proj." + "x" * 200_000: (1,) * 64, "\ud800": ()},
        {"vision_model.embeddings.patch_embedding.weight": ()},
    ],
)
def test_impossible_sizes_have_a_reason(tensors):
    assert identify(header_of(tensors)).problem


@pytest.mark.parametrize("text", ["[" * 100_000, '{"heads": ' + "9" * 5000 + "}", "null"], ids=["deep", "long", "null"])
def test_a_hostile_description_has_a_reason(text):
    assert identify(header_of(shapes(VIT_L), vision_config=text)).problem


def test_what_files_say_of_themselves_is_kept_short_and_on_one_line():
    tensors = {"image_proj.proj.weight": (4, 4), "image_proj.\n" + "x" * 100_000: (4,)}
    found = identify(header_of(tensors))
    assert found.problem.isprintable()
    assert len(found.problem) < 1100
    description = json.dumps({"heads": 4, "name": "\x1b[2J" + "y" * 100_000})
    found = identify(header_of(tiny_encoder(), vision_config=description))
    assert found.problem == ""
    assert found.family.isprintable()
    assert len(found.family) < 110 > len(found.encoder)


def test_the_stand_ins_of_the_demo_fit_each_other(tmp_path):
    from image_prompt.demo.make_models import main

    main(tmp_path)
    found = {path.stem: identify(read_header(path), path.name) for path in Path(tmp_path).rglob("*.safetensors")}
    assert found.pop("demo-features").kind == "other"  # of a picture
    encoders = {name: found.pop(name) for name in list(found) if found[name].kind == "encoder"}
    assert "demo-encoder" in encoders
    assert {identity.kind for identity in found.values()} == {"adapter"}
    also = {word for encoder in encoders.values() for word in (encoder.encoder, *encoder.also)}
    assert {identity.encoder for identity in found.values()} <= {"", *also}


def test_an_identity_is_plain_data():
    found = identify(header_of(tiny_encoder(), vision_config='{"heads": 4}'))
    assert json.loads(json.dumps(found.__dict__))["also"] == list(found.also)
