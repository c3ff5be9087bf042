"""A file that is not an adapter, or a broken one, raises a ValueError that says what it is or what is wrong."""

import pytest
import torch
from safetensors.torch import save_file

from image_prompt.devtools import published
from image_prompt.ip_adapter import ForeignFile, identify, load, load_adapter, match_layers

T = torch.zeros(4, 4)

OTHER_FILES = {  # key of the file -> words of the message
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": "a LoRA.*LoraLoader",
    "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": "a LoRA",
    "unet.down_blocks.0.attentions.0.processor.to_q_lora.down.weight": "a LoRA",
    "base_model.model.blocks.0.self_attn.q_proj.lora_B.default.weight": "a LoRA",
    "decoder.conv_in.weight": "a VAE.*VAELoader",
    "first_stage_model.encoder.conv_in.weight": "a VAE",
    "encoder.mid_block.resnets.0.conv1.weight": "a VAE",
    "input_blocks.1.0.in_layers.0.weight": "a diffusion model.*UNETLoader",
    "model.diffusion_model.input_blocks.1.0.in_layers.0.weight": "a diffusion model",
    "unet.down_blocks.0.resnets.0.conv1.weight": "a diffusion model",
    "double_blocks.0.img_attn.qkv.weight": "a diffusion model",
    "joint_blocks.0.x_block.attn.qkv.weight": "a diffusion model",
    "blocks.0.self_attn.q.weight": "a diffusion model",
    "vision_model.encoder.layers.0.mlp.fc1.weight": "an image encoder.*clip_vision",
    "visual.transformer.resblocks.0.ln_1.weight": "an image encoder",
    "visual.blocks.0.attn.inner_attn_ln.weight": "an image encoder",
    "visual.trunk.blocks.0.attn.norm.weight": "an image encoder",
    "visual.cls_token": "a vision transformer",
    "model_state_dict.module.last_layer_style": "an image encoder",
    "text_model.encoder.layers.0.mlp.fc1.weight": "a text encoder.*CLIPLoader",
    "encoder.block.0.layer.0.SelfAttention.q.weight": "a text encoder",
    "embeddings.cls_token": "a vision transformer that is not a CLIP.*SigLIP",
    "control_model.input_hint_block.0.weight": "a ControlNet.*ControlNetLoader.*Apply InstantID ControlNet",
    "controlnet_cond_embedding.conv_in.weight": "a ControlNet",
    "hidden.-2": "saved features of pictures.*models/image_prompts",
    "face_embeds_raw": "saved features of pictures.*models/image_prompts",
    "emb_params": "a textual inversion",
    "id_encoder.fuse_module.mlp1.fc1.weight": "PhotoMaker, .*PhotoMakerLoader",
    "id_encoder.qformer_perceiver.token_norm.weight": "PhotoMaker v2.*version 1 only, photomaker-v1.bin; .* InstantID",
    "redux_up.weight": "FLUX.1 Redux.*StyleModelLoader.*lower the strength of StyleModelApply.*strength_type",
    "feature_embedder.0.weight": "USO.*ModelPatchLoader and USOStyleReference.*has no strength.*USO's LoRA",
    "blocks.0.attn2.kv_proj_ip_adapter.weight": "an IP-Adapter for HunyuanDiT.*no place .* to its attention",
    "dinov2.encoder.layer.0.layer_scale1.lambda1": "an image encoder",
    "blocks.0.ls1.gamma": "an image encoder",
    "attn_pool.probe": "an image encoder",
    "ip_gate.0": "an IP-Adapter for Anima .PE-Core.*in its own shape.*Character_Reference-10",
    "shared_ip_k_proj.expand.weight": "an IP-Adapter for Anima whose blocks share.*Character_Reference-10",
}


def test_a_file_of_another_kind_is_named_with_its_place():
    for key, words in OTHER_FILES.items():
        with pytest.raises(ValueError, match=f"This file is {words}"):
            load_adapter({key: T})


DOWN, UP = (
    f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_{x}.weight" for x in ("down", "up")
)


def test_infiniteyou_is_refused_for_want_of_its_network():
    file = {"image_proj": {"proj_in.weight": torch.zeros(8, 512), "proj_out.weight": torch.zeros(4096, 8)}}
    with pytest.raises(ForeignFile, match="This file is InfiniteYou's.*InfuseNet, is a network that ComfyUI does not"):
        load_adapter(file)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"ip_norm_keys": "True"}, "ip_norm_keys .its keys are normed"),
        ({"ip_inject_before_mlp": "true"}, "ip_inject_before_mlp"),
        ({"lora_alpha": "16", "lora_rank": "32"}, "alpha 16 and the rank 32"),
        ({"lora_alpha": "None", "lora_rank": "32"}, "alpha None and the rank 32"),
    ],
)
def test_a_file_that_says_it_was_trained_in_another_way_is_refused(tmp_path, said, words):
    file = published.fill(published.anima(8), 1)
    usual = {"ip_norm_keys": "False", "ip_inject_before_mlp": "False", "lora_alpha": "32", "lora_rank": "32"}
    for metadata in (usual, usual | said):
        save_file(file, tmp_path / "anima.safetensors", metadata)
        if metadata == usual:
            assert load(tmp_path / "anima.safetensors").family.id == "anima"
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "anima.safetensors")


def test_the_lora_of_a_faceid_adapter_is_told_from_others():
    lora = {DOWN: torch.zeros(128, 320), UP: torch.zeros(320, 128)}
    with pytest.raises(ValueError, match="is the LoRA of a FaceID adapter.*weights are in its file.*LoraLoader"):
        load_adapter(lora)
    others = {
        "with alphas": {DOWN.replace("lora_down.weight", "alpha"): T},
        "of another rank": {DOWN: torch.zeros(64, 320)},
    }
    for other in (*others.values(), {DOWN.replace("attn1_to_q", "ff_net_2"): torch.zeros(128, 320)}):
        with pytest.raises(ValueError, match="This file is a LoRA"):
            load_adapter(lora | other)


def test_a_recognised_file_says_what_it_is_and_what_to_do_with_it_apart():
    with pytest.raises(ForeignFile) as error:
        load_adapter({"decoder.conv_in.weight": T})
    assert (error.value.kind, error.value.remedy) == ("a VAE", "Put it in models/vae and load it with VAELoader.")


def test_a_vision_transformer_of_numbered_blocks_is_no_diffusion_model():
    with pytest.raises(ValueError, match="not a CLIP"):
        load_adapter({"blocks.0.attn.qkv.weight": T, "cls_token": T})
    dinov3 = {"blocks.0.attn.qkv.weight": T, "blocks.0.ls1.gamma": T, "cls_token": T, "storage_tokens": T}
    with pytest.raises(ValueError, match="not a CLIP or DINOv2"):
        load_adapter(dinov3)


def test_a_full_checkpoint_is_named():
    keys = ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight"]
    for sd in ({key: T for key in keys}, {"epoch": 3, "state_dict": {key: T for key in keys}}):
        with pytest.raises(ValueError, match="a full checkpoint.*CheckpointLoaderSimple"):
            load_adapter(sd)


def test_an_unknown_file_says_what_is_missing_and_what_was_found():
    with pytest.raises(ValueError, match="no image_proj and ip_adapter part. First keys: mystery.weight"):
        load_adapter({"mystery.weight": T})
    with pytest.raises(ValueError, match="no ip_adapter part"):
        load_adapter({"image_proj": {"proj.weight": T}})


def test_an_unknown_projection_gets_a_reason_per_family(make_file):
    parts = make_file("base")
    parts["image_proj"] = {"mystery.weight": T}
    with pytest.raises(ValueError) as error:
        identify(parts)
    for reason in ("Kolors plus: no latents", "plus: no latents", "full-face: no norm.weight", "base: no norm.weight"):
        assert reason in str(error.value)


@pytest.mark.parametrize(
    "sd, words",
    [
        ([T], "a list where a dict of tensors"),
        (torch.nn.Linear(2, 2), "a Linear where"),
        ({}, "empty"),
        ({"image_proj": {}, "ip_adapter": {}}, "empty"),
        ({"image_proj": {"proj.weight": [1.0, 2.0]}}, r"something other than tensors: image_proj.proj.weight \(list\)"),
        ({"epoch": 3, "image_proj.proj.weight": T}, r"epoch \(int\)"),
    ],
)
def test_what_is_not_a_dict_of_tensors_is_refused(sd, words):
    with pytest.raises(ValueError, match=words):
        load_adapter(sd)


def broken(parts, part, key, tensor):
    sd = dict(parts[part])
    if tensor is None:
        del sd[key]
    else:
        sd[key] = tensor
    return {**parts, part: sd}


@pytest.mark.parametrize(
    "family, part, key, tensor, words",
    [
        ("base", "image_proj", "proj.bias", None, "missing: image_proj.proj.bias"),
        ("base", "image_proj", "proj.bias", T, r"wrong shape: image_proj.proj.bias is \[4, 4\], expected \[3072\]"),
        ("base", "image_proj", "proj.weight", torch.zeros(3), "proj.weight has shape"),
        (
            "base",
            "image_proj",
            "proj.weight",
            torch.zeros(1000, 1024),
            "proj.weight has 1000 rows, not a multiple of 768",
        ),
        ("base", "image_proj", "extra.weight", T, "unexpected: image_proj.extra.weight"),
        ("full-face", "image_proj", "proj.2.weight", None, "no proj.2.weight"),
        ("plus", "image_proj", "layers.2.0.to_q.weight", None, "missing: image_proj.layers.*to_q.weight"),
        ("plus", "image_proj", "layers.0.0.to_q.weight", torch.zeros(100, 64), "layers.0.to_q.weight has 100 rows"),
        ("plus", "image_proj", "layers.0.0.to_q.weight", None, "layers.0.to_q.weight is missing"),
        ("plus", "image_proj", "latents", torch.zeros(16, 64), r"latents has shape \[16, 64\]"),
        ("plus", "image_proj", "layers.1.2.1.weight", T, "unexpected"),
        ("plus", "image_proj", "norm_out.weight", torch.ones(2048), "wrong shape: image_proj.norm_out.weight"),
        ("base", "ip_adapter", "5.to_v_ip.weight", None, "missing: ip_adapter.5.to_v_ip.weight"),
        ("base", "ip_adapter", "5.to_v_ip.weight", T, "wrong shape: ip_adapter.5.to_v_ip.weight"),
        ("base", "ip_adapter", "5.to_k_ip.weight", torch.zeros(7), "Layer 5: .*to_k_ip.weight has shape"),
        ("base", "ip_adapter", "5.to_q_ip.weight", T, "unexpected: ip_adapter.5.to_q_ip.weight"),
        (
            "base",
            "ip_adapter",
            "33.to_k_ip.weight",
            torch.zeros(32, 768),
            "16 layers.*this file has 17.*unexpected: 33",
        ),
        ("base", "ip_adapter", "2.to_k_ip.weight", torch.zeros(32, 768), "unexpected: 2"),
    ],
)
def test_a_damaged_file_names_the_tensor(make_file, family, part, key, tensor, words):
    with pytest.raises(ValueError, match=words):
        load_adapter(broken(make_file(family), part, key, tensor))


def test_missing_layers_are_named(make_file):
    parts = make_file("base", "SDXL")
    parts["ip_adapter"] = {k: t for k, t in parts["ip_adapter"].items() if k.split(".")[0] not in ("1", "121")}
    words = r"SDXL has 70 layers, numbered 1, 3 ... 139; this file has 68 \(missing: 1, 121;"
    with pytest.raises(ValueError, match=words):
        load_adapter(parts)


def test_a_context_width_of_no_supported_model_is_named(make_file):
    parts = make_file("base")
    parts["ip_adapter"] = {key: torch.zeros(32, 1024) for key in parts["ip_adapter"]}
    with pytest.raises(ValueError, match="1024 wide.*SD1.5: 768, SDXL: 2048"):
        load_adapter(parts)


def test_a_projection_for_another_model_than_the_layers_is_refused(make_file):
    parts = {"image_proj": make_file("base", "SDXL")["image_proj"], "ip_adapter": make_file("base")["ip_adapter"]}
    with pytest.raises(ValueError, match="tokens 2048 wide, its layers take 768"):
        load_adapter(parts)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(make_file, value):
    parts = make_file("base")
    parts["ip_adapter"]["31.to_v_ip.weight"][3, 5] = value
    with pytest.raises(ValueError, match="NaN or infinity in ip_adapter.31.to_v_ip.weight"):
        load_adapter(parts)


def test_weights_that_are_not_floating_point_are_refused(make_file):
    parts = make_file("base")
    parts["ip_adapter"]["1.to_k_ip.weight"] = torch.ones(32, 768, dtype=torch.int8)
    with pytest.raises(
        ValueError,
        match=r"not floating point: ip_adapter.1.to_k_ip.weight \(torch.int8\).*choose the file in fp32, fp16 or bf16",
    ):
        load_adapter(parts)


def test_large_but_finite_half_precision_weights_are_not_refused(make_file):
    parts = make_file("base")
    parts["ip_adapter"]["1.to_k_ip.weight"] = torch.full((32, 768), 6e4, dtype=torch.float16)
    load_adapter(parts)


def test_an_adapter_on_another_base_model_is_refused_before_it_runs(make_file):
    adapter = load_adapter(make_file("base"))
    with pytest.raises(ValueError, match=r"16 layers \(SD1.5\), this model has 0 cross-attentions"):
        match_layers([], adapter.layer_widths)


@pytest.mark.parametrize("family", ["base", "plus", "full-face"])
def test_any_misshapen_tensor_is_a_value_error(make_file, family):
    parts = make_file(family)
    keys = [
        (part, key)
        for part, sd in parts.items()
        for key in sd
        if key.split(".")[0] in ("1", "31") or part != "ip_adapter"
    ]
    for damage in (torch.tensor(1.0), torch.zeros(0), torch.zeros(2, 3, 5), torch.zeros(7)):
        for part, key in keys:
            with pytest.raises(ValueError):
                load_adapter(broken(parts, part, key, damage))
