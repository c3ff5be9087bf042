"""Files of every layout are loaded strictly, and what they do not say comes from the right preset."""

import json
import weakref
from functools import cache

import pytest
import torch
import witness
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel
from witness import ROWS

from image_prompt.clip_vision import PRESETS, describe, load_encoder
from image_prompt.devtools.published import shapes

CLIP, SIGLIP = ROWS["CLIP ViT-B/32"], ROWS["SigLIP base/16-224"]
KNOWN = [row for row in PRESETS if row.kind in ("clip", "siglip")]  # to transformers


@cache
def full_shape(row):
    with torch.device("meta"):
        return witness.state_dict(witness.empty(row.kind, witness.full_config(row)))


def on_meta(row):
    return dict(full_shape(row))


def load_narrow(sd, row=CLIP, **options):
    return load_encoder(sd, metadata=witness.description(row), **options)


def stored(name):
    return {key: torch.empty(shape, device="meta") for key, shape in shapes(name).items()}


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.name)
def test_every_known_encoder_is_identified_and_loads_strictly_at_full_shape(row):
    sd = on_meta(row)
    encoder = load_encoder(sd, variant=row.name)
    config = encoder.config
    assert (config.name, config.heads, config.activation) == (row.name, row.heads, row.activation)
    assert (config.image_size, config.mean, config.std) == (row.image_size, row.mean, row.std)
    assert sum(p.numel() for p in encoder.parameters()) == sum(tensor.numel() for tensor in sd.values())
    found = load_encoder(sd).config
    assert (found.kind, found.heads, found.image_size) == (row.kind, row.heads, row.image_size)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("CLIP-ViT-H-14-laion2B-s32B-b79K", "CLIP ViT-H/14"),
        ("clip-vit-large-patch14", "CLIP ViT-L/14"),
        ("open_clip_ViT-L-14_visual", "CLIP ViT-L/14"),
        ("sigclip_vision_patch14_384", "SigLIP so400m/14-384"),
    ],
)
def test_published_files_are_identified(file, name):
    assert load_encoder(stored(file)).config.name == name


OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
TANH = "gelu_pytorch_tanh"

# Typed from the configs that were published with the weights, not from the table: openai/clip-vit-*, OpenCLIP's
# model_configs (heads = width / head_width) and pretrained.py, google/siglip-* and google/siglip2-*
PUBLISHED = [
    # variant, file name, heads, activation, (mean, std), pixels
    ("CLIP ViT-B/32", "clip-vit-base-patch32", 12, "quick_gelu", OPENAI, 224),
    ("CLIP ViT-B/32 gelu", "CLIP-ViT-B-32-laion2B-s34B-b79K", 12, "gelu", OPENAI, 224),
    ("CLIP ViT-B/16", "clip-vit-base-patch16", 12, "quick_gelu", OPENAI, 224),
    ("CLIP ViT-B/16 gelu", "CLIP-ViT-B-16-laion2B-s34B-b88K", 12, "gelu", OPENAI, 224),
    ("CLIP ViT-L/14", "clip-vit-large-patch14", 16, "quick_gelu", OPENAI, 224),
    ("CLIP ViT-L/14 LAION-2B", "CLIP-ViT-L-14-laion2B-s32B-b82K", 16, "gelu", HALVES, 224),
    ("CLIP ViT-L/14-336", "clip-vit-large-patch14-336", 16, "quick_gelu", OPENAI, 336),
    ("CLIP ViT-H/14", "CLIP-ViT-H-14-laion2B-s32B-b79K", 16, "gelu", OPENAI, 224),
    ("CLIP ViT-H/14-378", "DFN5B-CLIP-ViT-H-14-378", 16, "quick_gelu", OPENAI, 378),
    ("CLIP ViT-g/14", "CLIP-ViT-g-14-laion2B-s34B-b88K", 16, "gelu", OPENAI, 224),
    ("CLIP ViT-bigG/14", "CLIP-ViT-bigG-14-laion2B-39B-b160k", 16, "gelu", OPENAI, 224),
    ("SigLIP base/16-224", "siglip-base-patch16-224", 12, TANH, HALVES, 224),
    ("SigLIP base/16-256", "siglip-base-patch16-256", 12, TANH, HALVES, 256),
    ("SigLIP base/16-384", "siglip-base-patch16-384", 12, TANH, HALVES, 384),
    ("SigLIP base/16-512", "siglip-base-patch16-512", 12, TANH, HALVES, 512),
    ("SigLIP large/16-256", "siglip-large-patch16-256", 16, TANH, HALVES, 256),
    ("SigLIP large/16-384", "siglip-large-patch16-384", 16, TANH, HALVES, 384),
    ("SigLIP so400m/14-224", "siglip-so400m-patch14-224", 16, TANH, HALVES, 224),
    ("SigLIP so400m/14-384", "siglip-so400m-patch14-384", 16, TANH, HALVES, 384),
    ("SigLIP2 base/16-512", "siglip2-base-patch16-512", 12, TANH, HALVES, 512),
    ("SigLIP2 large/16-512", "siglip2-large-patch16-512", 16, TANH, HALVES, 512),
    ("SigLIP2 so400m/14-384", "siglip2-so400m-patch14-384", 16, TANH, HALVES, 384),
    ("SigLIP2 so400m/16-512", "siglip2-so400m-patch16-512", 16, TANH, HALVES, 512),
    ("SigLIP2 giant/16-384", "siglip2-giant-opt-patch16-384", 16, TANH, HALVES, 384),
]


def test_an_encoder_is_configured_as_it_was_published():
    for variant, file, heads, activation, mean_std, size in PUBLISHED:
        found = describe(on_meta(ROWS[variant]), name=f"{file}.safetensors")
        assert (found.name, found.heads, found.activation, found.image_size) == (variant, heads, activation, size)
        assert (found.mean, found.std) == mean_std, variant


@pytest.mark.parametrize(
    ("variant", "file"), [("CLIP ViT-L/14 LAION-2B", "CLIP-ViT-L-14-laion2B"), ("SigLIP base/16-224", "mine")]
)
def test_an_encoder_is_described_as_it_would_be_loaded_and_nothing_is_logged(variant, file, caplog):
    caplog.set_level("DEBUG")
    sd = on_meta(ROWS[variant])
    expected = load_encoder(sd, name=file).config
    caplog.clear()
    assert describe(sd, name=file) == expected
    assert describe(sd).kind == expected.kind
    assert not caplog.messages


def test_a_description_knows_the_metadata_and_refuses_what_would_not_load():
    sd = stored("clip-vit-large-patch14")
    assert describe(sd, metadata={"vision_config": '{"name": "mine"}'}).name == "mine"
    del sd["vision_model.encoder.layers.5.mlp.fc1.bias"]
    with pytest.raises(ValueError, match="incomplete: 1 weights are missing"):
        describe(sd)


def test_names_of_variants_are_unique():
    assert len({row.name for row in PRESETS}) == len(PRESETS)


QUICK, GELU = "quick_gelu", "gelu"


NAMED = [
    ("CLIP ViT-L/14", "clip-vit-large-patch14.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-L/14", "model.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-L/14", "CLIP-ViT-L-14-laion2B-s32B-b82K.safetensors", GELU, 0.5),
    ("CLIP ViT-L/14", "vit_l_14-laion400m_e32-3d133497.pt", GELU, 0.48145466),
    ("CLIP ViT-L/14", "CLIP-ViT-L-14-DataComp.XL-s13B-b90K.safetensors", GELU, 0.48145466),
    ("CLIP ViT-L/14", "CLIP-ViT-L-14-CommonPool.XL.laion-s13B-b90K.safetensors", GELU, 0.48145466),
    ("CLIP ViT-L/14", "DFN2B-CLIP-ViT-L-14.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-B/32", "CLIP-ViT-B-32-laion2B-s34B-b79K.safetensors", GELU, 0.48145466),
    ("CLIP ViT-B/32", "vit_b_32-quickgelu-laion400m_e32-46683a32.pt", QUICK, 0.48145466),
    ("CLIP ViT-B/16", "vit_b_16-laion400m_e32-55e67d44.pt", GELU, 0.48145466),
    ("CLIP ViT-H/14", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", GELU, 0.48145466),
    ("CLIP ViT-H/14", "DFN5B-CLIP-ViT-H-14.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-H/14-378", "open_clip_pytorch_model.bin", QUICK, 0.48145466),
    ("CLIP ViT-bigG/14", "metaclip-bigG-14.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-B/32", "metaclip-b32-fullcc2.5b.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-H/14", "ViT-H-14-metaclip_2_5b.pt", QUICK, 0.48145466),
    ("CLIP ViT-bigG/14", "vit_gigantic_patch14_clip_224.metaclip_2pt5b.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-bigG/14", "ViT-bigG-14-metaclip2_5b.pt", QUICK, 0.48145466),
    ("CLIP ViT-B/32", "metaclip2_b32_224px_worldwide.pt", GELU, 0.48145466),
    ("CLIP ViT-B/16", "metaclip-2-worldwide-b16.safetensors", GELU, 0.48145466),
    ("CLIP ViT-L/14", "metaclip2_l14_224px_worldwide.pt", GELU, 0.48145466),
    ("CLIP ViT-H/14", "metaclip2_h14_quickgelu_224px_worldwide.pt", QUICK, 0.48145466),
    ("CLIP ViT-H/14", "h14_v1.2_altogether.pt", GELU, 0.48145466),
    ("CLIP ViT-H/14", "vit_huge_patch14_clip_224.metaclip_altogether.safetensors", GELU, 0.48145466),
    ("CLIP ViT-H/14-378", "metaclip2_h14_378px_worldwide.pt", GELU, 0.48145466),
    ("CLIP ViT-H/14-378", "DFN5B-CLIP-ViT-H-14-378.safetensors", QUICK, 0.48145466),
    ("CLIP ViT-bigG/14", "metaclip-2-worldwide-giant.safetensors", GELU, 0.48145466),
    ("CLIP ViT-bigG/14", "metaclip2_bigG14_224px_worldwide.pt", GELU, 0.48145466),
    ("SigLIP so400m/14-384", "sigclip_vision_patch14_384.safetensors", "gelu_pytorch_tanh", 0.5),
]


def test_the_file_name_decides_where_shapes_cannot():
    for row, file, activation, mean in NAMED:
        config = describe(on_meta(ROWS[row]), name=file)
        assert (config.activation, config.mean[0]) == (activation, mean), file


FOLDERS = [
    ("CLIP-ViT-L-14-laion2B-s32B-b82K/open_clip_pytorch_model.bin", GELU),
    ("CLIP-ViT-L-14-DataComp.XL-s13B-b90K\\model.safetensors", GELU),
    ("models--laion--CLIP-ViT-L-14-laion2B/snapshots/84c9/model.safetensors", GELU),
    ("laion/clip-vit-large-patch14.safetensors", QUICK),
    ("laion/metaclip_l14_fullcc2.5b.pt", QUICK),
    ("/data/laion/clip-vit-large-patch14.safetensors", QUICK),
    ("/data/laion/model.safetensors", QUICK),
    ("D:\\laion\\model.safetensors", QUICK),
    ("/data/CLIP-ViT-L-14-laion2B-s32B-b82K.safetensors", GELU),
    ("/data/CLIP-ViT-L-14-laion2B-s32B-b82K/model.safetensors", GELU),
    ("/data/laion/CLIP-ViT-L-14/model.safetensors", QUICK),
    ("/data/laion/models/clip_vision/model.safetensors", QUICK),
    ("/opt/ComfyUI/models/clip_vision/laion/sub/model.safetensors", GELU),
    ("C:\\ComfyUI\\models\\clip_vision\\laion\\model.safetensors", GELU),
    ("/hub/models--laion--CLIP-ViT-L-14-laion2B-s32B-b82K/snapshots/0/open_clip_model.safetensors", GELU),
]


def test_folders_are_read_where_the_file_name_says_nothing():
    for file, activation in FOLDERS:
        assert describe(on_meta(ROWS["CLIP ViT-L/14"]), name=file).activation == activation, file


def test_a_guess_among_variants_is_logged(caplog):
    caplog.set_level("DEBUG")
    load_encoder(on_meta(ROWS["CLIP ViT-L/14"]), name="mine.safetensors")
    (message,) = caplog.messages
    assert message.startswith("mine.safetensors is taken for CLIP ViT-L/14; of the same shape are CLIP ViT-L/14 gelu, ")
    assert "CLIP ViT-L/14 LAION-2B. If it is one of them, say so with `variant`." in message


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ("CLIP ViT-L/14", {"name": "clip-vit-large-patch14.safetensors"}),
        ("CLIP ViT-L/14", {"variant": "CLIP ViT-L/14"}),
        ("CLIP ViT-g/14", {}),
        ("SigLIP base/16-224", {}),
    ],
)
def test_what_is_known_is_not_logged(row, options, caplog):
    caplog.set_level("DEBUG")
    load_encoder(on_meta(ROWS[row]), **options)
    assert not caplog.messages


def resized(row, size):
    with torch.device("meta"):
        return witness.state_dict(witness.empty("clip", {**witness.full_config(row), "image_size": size}))


def test_the_file_name_decides_at_another_picture_size():
    config = load_encoder(resized(CLIP, 384), name="metaclip2_b32_384px_worldwide.pt").config
    assert (config.activation, config.image_size) == (GELU, 384)


def test_a_renamed_file_is_corrected_by_its_variant():
    sd = on_meta(ROWS["CLIP ViT-H/14-378"])
    assert load_encoder(sd, name="dfn5b.pt", variant="CLIP ViT-H/14-378 gelu").config.activation == "gelu"
    assert load_encoder(sd, name="worldwide.pt", variant="CLIP ViT-H/14-378").config.activation == "quick_gelu"


def test_the_named_variant_comes_before_the_file_name():
    sd = on_meta(ROWS["CLIP ViT-L/14"])
    assert load_encoder(sd, variant="CLIP ViT-L/14", name="laion2b.safetensors").config.activation == "quick_gelu"


def test_siglip2_is_named_by_its_file_name():
    sd = on_meta(ROWS["SigLIP base/16-512"])
    assert load_encoder(sd).config.name == "SigLIP base/16-512"
    assert load_encoder(sd, name="siglip2-base-patch16-512.safetensors").config.name == "SigLIP2 base/16-512"


def test_another_picture_size_of_a_known_encoder_keeps_its_heads_and_its_name():
    config = load_encoder(resized(ROWS["CLIP ViT-H/14"], 448)).config
    assert (config.heads, config.image_size, config.name) == (16, 448, "CLIP ViT-H/14")


def test_an_unlisted_encoder_has_heads_of_64_and_the_activation_of_its_layout():
    config = {**witness.full_config(CLIP), "hidden_size": 896, "intermediate_size": 3584, "num_attention_heads": 14}
    with torch.device("meta"):
        sd = witness.state_dict(witness.empty("clip", config))
    assert (load_encoder(sd).config.heads, load_encoder(sd).config.activation) == (14, "gelu")
    archive = witness.to_openclip(sd) | witness.openai_numbers()
    assert load_encoder(archive).config.activation == "quick_gelu"


def test_the_files_own_description_comes_before_the_table():
    metadata = {"vision_config": json.dumps({"activation": "gelu", "std": [1, 2, 3], "name": "mine"}), "format": "pt"}
    config = load_encoder(on_meta(CLIP), metadata=metadata).config
    assert (config.activation, config.std, config.name, config.heads) == ("gelu", (1.0, 2.0, 3.0), "mine", 12)
    assert load_encoder(on_meta(CLIP), metadata=metadata, variant="CLIP ViT-B/32").config.activation == "quick_gelu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"head": 3}', "has 'head'; it may have"),
        ('{"heads": 0}', "positive whole number"),
        ('{"activation": "relu"}', "one of gelu"),
        ('{"mean": [1]}', "three numbers"),
        ('{"mean": "123"}', "three numbers"),
        ('{"mean": ["1", 2, 3]}', "three numbers"),
        ('{"mean": [NaN, 0, 0]}', "three numbers"),
        ('{"std": [1, 1, Infinity]}', "three numbers"),
        ('{"std": [1, 0, 1]}', "numbers above 0"),
        ('{"heads": true}', "positive whole number"),
        ('{"image_size": 224.0}', "positive whole number"),
        ('{"heads": 65537}', "heads = 65537; it has to be a positive whole number up to 65,536"),
        ('{"image_size": 65537}', "image_size = 65537; it has to be a positive whole number up to 65,536"),
        ('{"mean": [0, 0, 65537]}', "three numbers"),
        ('{"mean": [0, 0, -65537]}', "three numbers"),
        ('{"std": [1, 1, 65537]}', "three numbers"),
        (f'{{"heads": {"9" * 400}}}', "heads = 9{80}; it has"),
        ('{"heads": 65536}', "768 wide with 65536 heads: the width is not a multiple"),
        ('{"name": 3}', "a text"),
        ('{"name": " "}', "a text"),
        ('{"heads": 7}', "not a multiple"),
        ('{"image_size": 300}', "position embeddings for 7"),
    ],
)
def test_a_description_that_cannot_be_right_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        load_encoder(on_meta(CLIP), metadata={"vision_config": text})


def test_layouts_give_the_same_features():
    sd = witness.state_dict(witness.narrow(CLIP))
    pixel_values = witness.pixels(CLIP)
    openclip = witness.to_openclip(sd)
    bare = {key.removeprefix("vision_model."): tensor for key, tensor in sd.items()}
    tower = {key.removeprefix("visual."): tensor for key, tensor in openclip.items()}
    layouts = [
        sd,
        bare,
        tower,
        openclip,
        openclip | witness.openclip_text(),
        openclip | witness.openclip_text() | witness.openai_numbers(),
    ]
    want = ("image_embeds", "penultimate")
    first, *others = (load_narrow(each)(pixel_values, want) for each in layouts)
    for other in others:
        assert torch.equal(first.image_embeds, other.image_embeds)
        assert torch.equal(first.penultimate, other.penultimate)


TEXT = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 30}


def full_clip():
    config = CLIPConfig(
        text_config={**TEXT, "hidden_size": 16}, vision_config=witness.narrow_config(CLIP), projection_dim=24
    )
    return CLIPModel(config).eval()


def full_siglip():
    config = SiglipConfig(text_config={**TEXT, "hidden_size": 96}, vision_config=witness.narrow_config(SIGLIP))
    return SiglipModel(config).eval()


@pytest.mark.parametrize(("row", "make"), [(CLIP, full_clip), (SIGLIP, full_siglip)], ids=["clip", "siglip"])
def test_a_text_model_beside_the_encoder_is_left_out(row, make):
    full, pixel_values = make(), witness.pixels(row)
    sd = full.state_dict()
    sd["vision_model.embeddings.position_ids"] = torch.arange(50)[None]
    sd["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    ours = load_narrow(sd, row)(pixel_values).image_embeds
    theirs = full.get_image_features(pixel_values).pooler_output
    assert any(key.startswith("text_model.") for key in sd)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_without_a_projection_only_image_embeds_are_refused():
    sd = witness.state_dict(witness.narrow(CLIP))
    whole = load_narrow(sd)(witness.pixels(CLIP), ("cls",))
    del sd["visual_projection.weight"]
    encoder = load_narrow(sd)
    assert encoder(torch.zeros(1, 3, 224, 224), ("penultimate", "cls")).cls.shape == whole.cls[:1].shape
    with pytest.raises(ValueError, match="cannot give 'image_embeds': its file holds no visual projection"):
        encoder(witness.pixels(CLIP))


def test_without_a_pooling_head_only_pooled_features_are_refused():
    sd = {key: tensor for key, tensor in witness.state_dict(witness.narrow(SIGLIP)).items() if ".head." not in key}
    encoder = load_narrow(sd, SIGLIP)
    assert encoder(witness.pixels(SIGLIP), ("last",)).last.shape == (2, 196, 96)
    for want in ("image_embeds", "pooled"):
        with pytest.raises(ValueError, match=f"cannot give '{want}': its file holds no pooling head"):
            encoder(witness.pixels(SIGLIP), (want,))


def test_weights_are_cast_once_and_kept_without_a_dtype():
    sd = {key: tensor.half() for key, tensor in witness.state_dict(witness.narrow(CLIP)).items()}
    assert load_narrow(sd).dtype == torch.float16
    encoder = load_narrow(sd, dtype=torch.float32)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in encoder.parameters()) and not encoder.training


@pytest.mark.parametrize(("row", "make"), [(CLIP, full_clip), (SIGLIP, full_siglip)])
def test_values_are_asked_for_once_each_where_they_are_used_and_not_held(row, make):
    sd = make().state_dict()
    asked, held = [], []

    def read(key):
        assert not [each for each in held if each() is not None]
        asked.append(key)
        value = sd[key].clone()
        held.append(weakref.ref(value))
        return value

    shapes = {key: tensor.to("meta") for key, tensor in sd.items()}
    loaded, expected = (
        load_narrow(each, row, read=get, dtype=torch.bfloat16) for each, get in ((shapes, read), (sd, None))
    )
    assert len(asked) == len({*asked}) and not any(key.startswith(("text_model", "logit")) for key in asked)
    assert all(torch.equal(tensor, expected.state_dict()[key]) for key, tensor in loaded.state_dict().items())


def test_layers_come_from_the_hosts_operations():
    class Ops:
        Conv2d, LayerNorm = torch.nn.Conv2d, torch.nn.LayerNorm

        class Linear(torch.nn.Linear):
            pass

    encoder = load_narrow(witness.state_dict(witness.narrow(CLIP)), ops=Ops)
    linears = [module for module in encoder.modules() if isinstance(module, torch.nn.Linear)]
    assert len(linears) == 13 and all(type(module) is Ops.Linear for module in linears)


FOREIGN = {
    "lora": (["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"], "a LoRA"),
    "peft lora": (["base_model.model.vision_model.encoder.layers.0.mlp.fc1.lora_A.weight"], "a LoRA"),
    "adapter": (["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"], "an IP-Adapter"),
    "checkpoint": (
        [
            "model.diffusion_model.input_blocks.0.0.weight",
            "first_stage_model.decoder.conv_in.weight",
            "cond_stage_model.transformer.text_model.final_layer_norm.weight",
        ],
        "a diffusion model",
    ),
    "flux": (["double_blocks.0.img_attn.proj.weight"], "a diffusion model"),
    "vae": (["decoder.conv_in.weight", "encoder.conv_in.weight"], "a VAE"),
    "eva": (["visual.blocks.0.attn.q_proj.weight", "visual.patch_embed.proj.weight"], "an EVA-CLIP"),
    "timm siglip": (["visual.trunk.blocks.0.attn.qkv.weight"], "an OpenCLIP model with a timm image tower"),
    "dinov2": (["embeddings.cls_token", "embeddings.patch_embeddings.projection.weight"], "a DINO"),
    "dino hub": (["cls_token", "blocks.0.attn.qkv.weight", "patch_embed.proj.weight"], "a DINO"),
    "text": (["text_model.embeddings.token_embedding.weight"], "a text encoder without an image tower"),
    "openclip text": (["token_embedding.weight", "transformer.resblocks.0.ln_1.weight"], "a text encoder without"),
    "anything": (["a", "b"], "choose a CLIP or SigLIP vision file"),
}


def test_other_files_are_refused_by_what_they_look_like():
    for keys, message in FOREIGN.values():
        with pytest.raises(ValueError, match=f"not a CLIP or SigLIP image encoder: .*{message}") as error:
            load_encoder({key: torch.zeros(2, 2) for key in keys})
        assert keys[0] in str(error.value) or sorted(keys)[0] in str(error.value)


def changed(**changes):
    """The narrow CLIP with some keys (written with __ for dots) replaced, or left out if None."""
    sd = witness.state_dict(witness.narrow(CLIP))
    sd.update({key.replace("__", "."): tensor for key, tensor in changes.items()})
    return {key: tensor for key, tensor in sd.items() if tensor is not None}


EMBEDDINGS = "vision_model__embeddings__"
LAYER = "vision_model__encoder__layers__"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"multi_modal_projector__linear_1__weight": torch.zeros(2)}, "looks like a LLaVA model"),
        ({"vision_model__extra__weight": torch.zeros(2)}, r"does not know: .*vision_model\.extra\.weight"),
        ({"visual_projection__bias": torch.zeros(24)}, "does not know: .*visual_projection.bias"),
        (
            {f"{LAYER}0__self_attn__k_proj__weight": None},
            "incomplete: no layers.0.attention.k.weight beside layers.0.attention.q.weight",
        ),
        ({f"{LAYER}1__self_attn__q_proj__weight": None}, "missing, first .'layers.1.attention.qkv.weight'"),
        ({f"{LAYER}2__mlp__fc2__bias": None}, "1 weights are missing, first .'layers.2.mlp.fc2.bias'"),
        ({f"{LAYER}0__mlp__fc1__weight": None}, "incomplete: no vision_model.encoder.layers.0.mlp.fc1.weight"),
        ({"vision_model__embeddings__position_embedding__weight": None}, "incomplete: no .*position_embedding"),
        ({"vision_model__embeddings__position_embedding__weight": torch.zeros(49, 96)}, "no square grid"),
        ({"vision_model__embeddings__patch_embedding__weight": torch.zeros(96, 3, 32, 16)}, "no square grid"),
        ({"vision_model__embeddings__patch_embedding__weight": torch.zeros(96, 768)}, "NaFlex SigLIP2"),
        ({"vision_model__pre_layrnorm__bias": torch.zeros(95)}, r"pre_norm.bias has shape \(95,\).* needs \(96,\)"),
        ({f"{LAYER}0__mlp__fc1__weight": torch.zeros(288, 96, dtype=torch.int8)}, "quantised"),
        ({f"{EMBEDDINGS}position_embedding__weight": torch.tensor(1.0)}, r"position_embedding.weight has shape \(\)"),
        ({f"{EMBEDDINGS}position_embedding__weight": torch.zeros(0, 96)}, r"has shape \(0, 96\), not 2 dimensions"),
        ({f"{EMBEDDINGS}position_embedding__weight": torch.zeros(1, 96)}, "no square grid"),
        ({f"{EMBEDDINGS}position_embedding__weight": [1.0, 2.0]}, "is a list, not a tensor"),
        ({f"{EMBEDDINGS}class_embedding": torch.tensor(1.0)}, r"class_embedding has shape \(\), not 1 dim"),
        ({f"{EMBEDDINGS}patch_embedding__weight": torch.zeros(96, 3, 0, 0)}, r"has shape \(96, 3, 0, 0\)"),
        ({f"{EMBEDDINGS}patch_embedding__weight": torch.tensor(1.0)}, r"has shape \(\), not 4 dimensions"),
        ({f"{LAYER}0__mlp__fc1__weight": torch.tensor(1.0)}, r"mlp.fc1.weight has shape \(\), not 2 dim"),
        (
            {f"{LAYER}0__self_attn__k_proj__weight": torch.zeros(96, 95)},
            r"q_proj.weight and .*k_proj.weight and .*\(96, 95\), \(96, 96\)",
        ),
        (
            {f"{LAYER}0__self_attn__k_proj__weight": torch.zeros(95, 96)},
            r"q_proj.weight and .*k_proj.weight and .*\(95, 96\), \(96, 96\)",
        ),
        ({f"{LAYER}0__self_attn__v_proj__weight": torch.zeros(96, 96, 1)}, r"v_proj.weight has shape \(96, 96, 1\)"),
        ({f"{LAYER}0__self_attn__v_proj__bias": torch.tensor(1.0)}, r"v_proj.bias has shape \(\), not 1 dim"),
        ({f"{LAYER}999999999__mlp__fc1__bias": torch.zeros(384)}, "of layers 0 to 999999999 it has 4"),
        ({"visual_projection__weight": torch.tensor(1.0)}, r"visual_projection.weight has shape \(\)"),
    ],
)
def test_broken_files_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        load_narrow(changed(**changes))


def test_a_projection_of_three_dimensions_is_refused():
    sd = witness.to_openclip(changed()) | {"visual.proj": torch.zeros(96, 24, 1)}
    with pytest.raises(ValueError, match=r"visual.proj has shape \(96, 24, 1\), not 2 dimensions"):
        load_narrow(sd)


@pytest.mark.parametrize("key", ["probe", "attention.in_proj_weight"])
def test_a_broken_pooling_head_is_refused(key):
    sd = witness.state_dict(witness.narrow(SIGLIP)) | {f"vision_model.head.{key}": torch.tensor(1.0)}
    with pytest.raises(ValueError, match=rf"{key} has shape \(\)"):
        load_narrow(sd, SIGLIP)


def test_keys_that_are_no_names_are_refused():
    with pytest.raises(ValueError, match="names for keys, not 3"):
        load_narrow(changed() | {3: torch.zeros(2)})


def test_a_resnet_clip_is_refused():
    keys = ("visual.conv1.weight", "visual.layer1.0.conv1.weight", "visual.attnpool.k_proj.weight")
    with pytest.raises(ValueError, match="ResNet CLIP"):
        load_encoder({key: torch.zeros(2, 2) for key in keys})


def test_a_naflex_file_is_refused():
    from transformers import Siglip2VisionConfig, Siglip2VisionModel

    model = Siglip2VisionModel(
        Siglip2VisionConfig(
            hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=64, num_patches=16
        )
    )
    with pytest.raises(ValueError, match="NaFlex SigLIP2"):
        load_encoder(witness.state_dict(model))


def test_an_unlisted_width_that_64_does_not_divide_needs_a_description():
    with pytest.raises(ValueError, match='heads of 64.*Give "heads"'):
        load_encoder(witness.state_dict(witness.narrow(CLIP)))


def test_an_8_bit_float_file_needs_a_dtype():
    sd = {key: tensor.to(torch.float8_e4m3fn) for key, tensor in witness.state_dict(witness.narrow(CLIP)).items()}
    with pytest.raises(ValueError, match="float8_e4m3fn.*choose a dtype"):
        load_narrow(sd)
    assert load_narrow(sd, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_an_empty_file_is_refused():
    with pytest.raises(ValueError, match="empty"):
        load_encoder({})


def test_a_variant_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="'CLIP ViT-H/14' is a clip encoder 32 layers deep, 1280 wide"):
        load_encoder(on_meta(CLIP), variant="CLIP ViT-H/14")


def test_an_unknown_variant_is_refused_with_the_names():
    with pytest.raises(ValueError, match="called 'H/14'. Known: auto, .*CLIP ViT-H/14"):
        load_encoder(on_meta(CLIP), variant="H/14")
