"""The instruction of IP-Adapter-Instruct is CLIP-L's last hidden state, and goes with the picture."""

import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import face_tools
import pytest
import tiny
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.saving.library import LoadImagePromptFeatures, SaveImagePromptFeatures

TEXT, PROMPT = "Use the (style:1.3) of the image", "a cat on a mat"
CONFIG = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}


class Target:
    """What ComfyUI makes a CLIP of."""

    def __init__(self, model, tokenizer):
        self.params, self.clip, self.tokenizer = {}, model, tokenizer


@pytest.fixture(scope="module")
def text_model():
    torch.manual_seed(0)
    model = CLIPTextModel(CLIPTextConfig(**CONFIG)).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    return model


def clip_of(model, tokenizer, text_model):
    wide = {"hidden_size": 1280, "num_attention_heads": 20}
    large = CONFIG | wide | {"hidden_act": "gelu", "projection_dim": 1280, "num_hidden_layers": 4}
    options = {"clip_l_model_config": CONFIG, "clip_g_model_config": large, "dtype": torch.float32}
    made = comfy.sd.CLIP(Target(model, tokenizer), model_options=options)
    for name, parameter in made.cond_stage_model.named_parameters():
        parameter.data.normal_(0, 0.02)
    sd = {f"text_model.{key.removeprefix('text_model.')}": each for key, each in text_model.state_dict().items()}
    missing, unexpected = made.cond_stage_model.clip_l.load_sd(sd)
    assert missing == ["text_projection.weight"] and not unexpected
    return made


@pytest.fixture(scope="module")
def clip(text_model):
    return clip_of(comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer, text_model)


@pytest.fixture(scope="module")
def sdxl_clip(text_model):
    return clip_of(comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer, text_model)


def last_hidden(text_model, text):
    tokenizer = CLIPTokenizer.from_pretrained(comfy.sd1_clip.__file__.replace("sd1_clip.py", "sd1_tokenizer"))
    tokens = tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    return text_model(tokens).last_hidden_state


def encode(encoder, image, **options):
    return EncodeImagePrompt.execute(encoder, image, **options).args[0]


@pytest.mark.parametrize("which", ["clip", "sdxl_clip"])
@pytest.mark.parametrize("text", [TEXT, "word " * 90])
def test_a_text_equals_transformers(request, text_model, encoder, pictures, which, text):
    found = encode(encoder, pictures, clip=request.getfixturevalue(which), instruction=text, prompt=PROMPT)
    for name, written in (("instruction", text), ("prompt", PROMPT)):
        expected = last_hidden(text_model, written).expand(len(pictures), -1, -1)
        torch.testing.assert_close(getattr(found, name), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.negative_instruction, last_hidden(text_model, ""), rtol=0, atol=1e-5)


def test_the_layer_that_the_clip_was_set_to_stays(clip, encoder, pictures):
    skipped = clip.clone()
    skipped.clip_layer(-2)
    before = skipped.encode(PROMPT)
    found = encode(encoder, pictures, clip=skipped, instruction=TEXT)
    assert torch.equal(found.instruction, encode(encoder, pictures, clip=clip, instruction=TEXT).instruction)
    assert torch.equal(skipped.encode(PROMPT), before)


def test_an_adapter_reads_the_picture_the_prompt_and_the_instruction(folders, clip, model):
    encoder, adapter = tiny.encoder(width=1280), face_tools.adapter(model, "instruct")
    image = face_tools.pictures()

    def sampled(found):
        return tiny.sample(ApplyImagePrompt.execute(model, adapter, found).args[0], "SD1.5")

    texts = {"clip": clip, "instruction": TEXT, "prompt": PROMPT}
    first = encode(encoder, image, adapter=adapter, **texts)
    assert {name for name, value in vars(first).items() if isinstance(value, torch.Tensor)} == {
        *("penultimate_hidden_states", "instruction", "prompt", "negative_penultimate", "negative_instruction")
    }
    every = sampled(encode(encoder, image, **texts))
    assert torch.equal(sampled(first), every)
    assert not torch.equal(sampled(encode(encoder, image, adapter=adapter, **texts | {"prompt": ""})), every)
    assert not torch.equal(sampled(encode(encoder, image, adapter=adapter, **texts | {"instruction": "all"})), every)
    name = SaveImagePromptFeatures.execute(first, "kept").args[0]
    assert torch.equal(sampled(LoadImagePromptFeatures.execute(name).args[0]), every)
    with pytest.raises(ValueError, match="reads instruction, which the features do not have: connect clip to Encode"):
        sampled(encode(encoder, image))
