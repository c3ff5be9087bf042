"""The text encoders equal those of transformers, in every layout and width, and files without one are refused."""

import json

import open_clip
import pytest
import text_witness
import torch
import witness
from safetensors.torch import save_file
from witness import openai_numbers

from image_prompt.clip_vision import (
    encode_texts,
    fingerprint,
    load,
    load_encoder,
    load_text,
    load_text_encoder,
)
from image_prompt.clip_vision.text.bpe import BytePairs
from image_prompt.tensor_files.placement import DTYPES

TEXTS = ["a photo of a red bicycle", "Ein ½ Ⅷ!  don't", "word " * 90, "x"]


def tokens_of(texts, context=77):
    """Ids as CLIPTokenizer pads and cuts them."""
    pairs = BytePairs()
    rows = [[49406, *pairs(text)[: context - 2], 49407] for text in texts]
    return torch.tensor([row + [49407] * (context - len(row)) for row in rows])


def close(ours, theirs, tolerance=1e-5):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


LAYOUTS = {
    "transformers": lambda sd: sd | {"text_model.embeddings.position_ids": torch.arange(77)[None]},
    "openclip": lambda sd: text_witness.openclip(sd) | {"attn_mask": torch.zeros(77, 77)},
    "openclip under text.": lambda sd: text_witness.openclip(sd, "text."),
    "openai": lambda sd: text_witness.openclip(sd) | openai_numbers(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("width", "heads", "activation"), [(128, 4, "quick_gelu"), (64, 1, "gelu"), (96, 4, "gelu")])
def test_clip_equals_transformers_in_every_layout(layout, width, heads, activation):
    model = text_witness.clip(width, heads, activation=activation)
    sd = LAYOUTS[layout](model.state_dict())
    encoder = load_text_encoder(sd, metadata=text_witness.description(model))
    theirs = model.text_projection(model.text_model(tokens_of(TEXTS)).pooler_output)
    close(encode_texts(encoder, TEXTS), theirs)
    close(encode_texts(encoder, TEXTS, chunk_size=1), theirs)
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())
    assert encoder.too_long(TEXTS) == [2]


OPENCLIP = {  # its name: ours, heads of the text encoder, activation
    "ViT-B-32-quickgelu": ("CLIP ViT-B/32", 8, "quick_gelu"),
    "ViT-L-14-336-quickgelu": ("CLIP ViT-L/14-336", 12, "quick_gelu"),
    "ViT-H-14": ("CLIP ViT-H/14", 16, "gelu"),
    "ViT-g-14": ("CLIP ViT-g/14", 16, "gelu"),
    "ViT-bigG-14": ("CLIP ViT-bigG/14", 20, "gelu"),
    "EVA02-L-14": ("EVA02-CLIP-L-14", 12, "gelu"),
    "PE-Core-T-16-384": ("PE-Core-T16-384", 8, "gelu"),
    "PE-Core-L-14-336": ("PE-Core-L14-336", 16, "gelu"),
}


def openclip(name, **text):
    """A model of OpenCLIP. text: what of its text encoder is otherwise"""
    config = open_clip.get_model_config(name)
    custom = config.pop("custom_text", False) or "timm_model_name" in config["vision_cfg"]
    config["text_cfg"] = {**config["text_cfg"], **text}
    return (open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP)(**config).eval()


@pytest.mark.parametrize("name", OPENCLIP)
def test_every_width_loads_strictly_at_full_shape_as_openclip_configures_it(name):
    with torch.device("meta"):
        model = openclip(name)
    sd, cfg = model.state_dict(), open_clip.get_model_config(name)["text_cfg"]
    encoder = load_text_encoder(sd, read=lambda key, dtype: torch.zeros((), dtype=dtype).expand(sd[key].shape))
    config, (title, heads, activation) = encoder.config, OPENCLIP[name]
    assert (config.name, config.heads, config.activation) == (title, heads, activation)
    sizes = ("width", "layers", "heads", "context_length", "vocab_size")
    found = (config.width, config.depth, config.heads, config.context, config.vocabulary)
    assert found == tuple(cfg[size] for size in sizes)
    assert config.projection == open_clip.get_model_config(name)["embed_dim"]


@pytest.mark.parametrize("name", ["EVA02-B-16", "PE-Core-T-16-384"])
def test_the_text_encoders_of_eva_and_pe_equal_those_of_openclip(name):
    """They have CLIP's, PE-Core with 32 tokens. Narrow, beside an image encoder of zeros."""
    with torch.device("meta"):
        images = {key: tensor for key, tensor in openclip(name).state_dict().items() if key.startswith("visual.")}
    config = open_clip.get_model_config(name)
    narrow = {**config["text_cfg"], "width": 128, "heads": 2, "layers": 2}
    theirs = text_witness.fill(open_clip.model._build_text_tower(config["embed_dim"], narrow))
    texts = {f"text.{key}": tensor for key, tensor in theirs.state_dict().items()}
    zeros = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in images.items()}
    encoder = load_text_encoder(texts | zeros)
    close(encode_texts(encoder, TEXTS), theirs(open_clip.tokenize(TEXTS, context_length=narrow["context_length"])))
    assert encoder.too_long(TEXTS) == [2]


def saved(model, path, **changes):
    save_file({**model.state_dict(), **changes}, path, metadata=text_witness.description(model))
    return path


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return text_witness.clip(64, 2)


def test_a_file_is_loaded_as_its_tensors_are(model, tmp_path):
    path = saved(model, tmp_path / "CLIP.safetensors")
    encoder = load_text(path, "cpu", "fp32")
    plain = load_text_encoder(model.state_dict(), metadata=text_witness.description(model))
    assert encoder.config == plain.config and encoder.fingerprint == plain.fingerprint
    close(encode_texts(encoder, TEXTS), encode_texts(plain, TEXTS))
    assert not encoder.training and not any(parameter.requires_grad for parameter in encoder.parameters())
    torch.save(model.state_dict(), tmp_path / "CLIP.bin")
    assert load_text(tmp_path / "CLIP.bin", "cpu").dtype == load(tmp_path / "CLIP.bin", "cpu").dtype


@pytest.mark.parametrize(
    ("stored", "computed", "kept"),
    [
        ("float16", "fp32", torch.float16),  # half the memory, and the same numbers
        ("float32", "fp32", torch.float32),
        ("float32", "fp16", torch.float16),
        ("float16", "bf16", torch.float16),
    ],
)
def test_the_table_of_tokens_stays_as_it_is_stored_unless_that_takes_more_memory(
    stored, computed, kept, model, tmp_path
):
    sd = {key: tensor.to(getattr(torch, stored)) for key, tensor in model.state_dict().items()}
    encoder = load_text(saved(model, tmp_path / "CLIP.safetensors", **sd), "cpu", computed)
    assert encoder.token_embedding.dtype == kept and encoder.dtype == DTYPES[computed]
    whole = load_text_encoder(sd, metadata=text_witness.description(model), dtype=torch.float32)
    ours, theirs = encode_texts(encoder, TEXTS), encode_texts(whole, TEXTS)
    assert ours.dtype == torch.float32
    close(ours, theirs, tolerance=1e-5 if computed == "fp32" else 3e-2)


def test_metadata_say_heads_and_activation(model):
    metadata = text_witness.description(model)
    assert load_text_encoder(model.state_dict(), metadata=metadata).config.heads == 2
    metadata["text_config"] = json.dumps({"heads": 4, "activation": "gelu"})
    config = load_text_encoder(model.state_dict(), metadata=metadata).config
    assert (config.heads, config.activation) == (4, "gelu")
    for wrong, message in {
        '{"heads": 0}': "heads = 0; it has to be a positive whole number",
        '{"heads": 5}': "64 wide with 5 heads: the width is not a multiple",
        '{"mean": 1}': "text_config has 'mean'; it may have heads, activation",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_text_encoder(model.state_dict(), metadata=metadata | {"text_config": wrong})


def test_chunks_are_told_and_may_stop():
    encoder = load_text_encoder(text_witness.clip(64, 1).state_dict())
    done = []
    encode_texts(encoder, ["a"] * 5, chunk_size=2, on_chunk=done.append)
    assert done == [2, 2, 1]

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_texts(encoder, "a", on_chunk=stop)


BAD_TEXTS = {  # message: what is given
    "There are no texts": [],
    "^The text is empty: write what to look for": "  ",
    "Text 2 of 2 is empty": ["a", "\n"],
    "Text 1 of 2 is of type int": [3, "a"],
    "A NoneType is no text": None,
}


@pytest.mark.parametrize("message", BAD_TEXTS)
def test_what_is_no_text_is_refused(message, model):
    encoder = load_text_encoder(model.state_dict())
    with pytest.raises(ValueError, match=message):
        encode_texts(encoder, BAD_TEXTS[message])
    with pytest.raises(ValueError, match=message):
        encoder.too_long(BAD_TEXTS[message])


def test_what_is_no_encoder_and_no_size_is_refused(model):
    with pytest.raises(ValueError, match="The encoder is a str: give what `load_text` returns"):
        encode_texts("CLIP.safetensors", "a")
    with pytest.raises(ValueError, match="A chunk of 0 texts"):
        encode_texts(load_text_encoder(model.state_dict()), "a", chunk_size=0)


def without(sd, *starts):
    return {key: tensor for key, tensor in sd.items() if not key.startswith(starts)}


REFUSED = {  # what is done to a full file: the message
    "no text": (
        lambda sd: without(sd, "text_", "logit"),
        "holds the image encoder of .* alone, without its text encoder. Use the full file, such as model.safetensors "
        "of openai/clip-vit-large-patch14",
    ),
    "no text projection": (
        lambda sd: without(sd, "text_projection"),
        "has no text projection .as in checkpoints of Stable Diffusion.* Use a full file, such as openai/",
    ),
    "no image": (
        lambda sd: without(sd, "vision_model", "visual_projection"),
        "holds a text encoder alone: .* Choose one that holds both encoders, such as model.safetensors of openai/",
    ),
    "no image projection": (
        lambda sd: without(sd, "visual_projection"),
        "image encoder of .* has no projection, so pictures cannot be compared",
    ),
    "two models": (
        lambda sd: sd | {"text_projection.weight": torch.randn(16, 64)},
        "Of a picture this file makes 24 numbers, of a text 16",
    ),
    "a missing layer": (
        lambda sd: without(sd, "text_model.encoder.layers.0."),
        "text encoder is incomplete: of layers 0 to 1 it has 1",
    ),
    "a missing weight": (
        lambda sd: without(sd, "text_model.final_layer_norm.bias"),
        r"text encoder is incomplete: 1 weights are missing, first \['final_norm.bias'\]",
    ),
    "a part of q, k and v": (
        lambda sd: without(sd, "text_model.encoder.layers.0.self_attn.k_proj.weight"),
        "text encoder is incomplete: no layers.0.attention.k.weight",
    ),
    "unknown weights": (
        lambda sd: sd | {"text_model.adapter.weight": torch.zeros(3)},
        r"does not know some of its weights.*\['text_model.adapter.weight'\]",
    ),
    "a wrong shape": (
        lambda sd: sd | {"text_model.final_layer_norm.bias": torch.zeros(3)},
        r"final_norm.bias has shape \(3,\), a .* text encoder needs \(64,\)",
    ),
    "quantised": (
        lambda sd: sd | {"text_projection.weight": torch.zeros(24, 64, dtype=torch.int8)},
        "text_projection.weight is stored as torch.int8: quantised encoders are not supported",
    ),
    "another vocabulary": (
        lambda sd: sd | {"text_model.embeddings.token_embedding.weight": torch.zeros(901, 64)},
        "tokenizer has 49,408 tokens, but .* knows 901: it is another model's. Use a CLIP for English texts",
    ),
    "a path": (lambda sd: "CLIP.safetensors", "is a path"),
    "nothing": (lambda sd: {}, "The state dict is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_of_which_texts_do_not_compare_is_refused(case, model):
    change, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        load_text_encoder(change(model.state_dict()))


def test_an_encoder_without_texts_is_refused():
    """CSD, which was tuned for styles."""
    sd = witness.to_openclip(witness.state_dict(witness.narrow(witness.ROWS["CLIP ViT-B/32"])))
    csd = {key.replace("visual.proj", "last_layer_style").replace("visual.", "backbone."): sd[key] for key in sd}
    with pytest.raises(ValueError, match="CSD .* has no text encoder: no text compares with its pictures. Choose a"):
        load_text_encoder(csd, metadata={"vision_config": '{"heads": 12}'})


def test_the_full_file_is_named_by_the_image_encoder():
    row = witness.ROWS["CLIP ViT-H/14"]
    sd = witness.state_dict(witness.narrow(row))
    with pytest.raises(
        ValueError, match="of CLIP ViT-H/14 alone.*model.safetensors of laion/CLIP-ViT-H-14-laion2B-s32B"
    ):
        load_text_encoder(sd, metadata=witness.description(row))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_encoders_of_a_file_have_one_fingerprint_in_every_layout_and_dtype(layout, model, tmp_path):
    sd = LAYOUTS[layout](model.state_dict())
    expected = fingerprint(load_encoder(model.state_dict()))
    matrix = model.visual_projection.weight.flatten()
    bits = "".join("01"[int(matrix[place * len(matrix) // 64] < 0)] for place in range(64))
    assert expected == f"{int(bits, 2):016x}"
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        half = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in sd.items()}
        assert load_text_encoder(half).fingerprint == expected
        assert fingerprint(load_encoder(half)) == expected
    save_file(sd, tmp_path / "CLIP.safetensors")
    assert fingerprint(load(tmp_path / "CLIP.safetensors", "cpu")) == expected  # packed weights, too


def test_other_weights_have_another_fingerprint():
    """Also where the last step is not a projection: that of a pooling head, or a layer's."""
    encoders = []
    for row in (witness.ROWS["CLIP ViT-B/32"], witness.ROWS["SigLIP base/16-224"]):
        for _ in range(2):
            sd = witness.state_dict(witness.narrow(row))
            encoders.append(load_encoder(sd, metadata=witness.description(row)))
            if row.kind == "clip":
                encoders.append(load_encoder(without(sd, "visual_projection"), metadata=witness.description(row)))
    assert len({fingerprint(encoder) for encoder in encoders}) == len(encoders) == 6
