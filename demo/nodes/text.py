"""Shallow text encoders with the real tokenizer and the real output widths, so that core's CLIPTextEncode works."""

from types import SimpleNamespace

import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
from torch import Tensor
from torch.nn.functional import pad

from . import dits
from .weights import random_state_dict

SHALLOW = {"num_hidden_layers": 3, "intermediate_size": 64}  # SDXL reads the last but one of three
OPTIONS = {"clip_l_model_config": SHALLOW, "clip_g_model_config": SHALLOW}
QWEN = "qwen3vl_demo"
NARROW = {"clip_l_model_config": SHALLOW | {"hidden_size": 64, "num_attention_heads": 4}}


def sd15(seed: int) -> comfy.sd.CLIP:
    return text_encoder(comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer, seed)


def sdxl(seed: int) -> comfy.sd.CLIP:
    return text_encoder(comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer, seed)


class FluxText(comfy.sd1_clip.SD1ClipModel):
    """A narrow text encoder of CLIP, whose states are filled up with zeros to the widths that Flux.1 takes."""

    widths = dits.TEXT, 768

    def encode_token_weights(self, token_weight_pairs) -> tuple[Tensor, Tensor]:
        found = super().encode_token_weights(token_weight_pairs)[:2]
        states, pooled = (pad(each, (0, width - each.shape[-1])) for each, width in zip(found, self.widths))
        return states, pooled


class SD35Text(FluxText):
    widths = dits.TEXT, dits.POOLED


class AnimaText(FluxText):
    widths = dits.ANIMA_TEXT, 768


def flux(seed: int) -> comfy.sd.CLIP:
    return text_encoder(FluxText, comfy.sd1_clip.SD1Tokenizer, seed, NARROW)


def sd35(seed: int) -> comfy.sd.CLIP:
    return text_encoder(SD35Text, comfy.sd1_clip.SD1Tokenizer, seed, NARROW)


def anima(seed: int) -> comfy.sd.CLIP:
    return text_encoder(AnimaText, comfy.sd1_clip.SD1Tokenizer, seed, NARROW)


def qwen3_vl(seed: int) -> comfy.sd.CLIP:
    """A narrow Qwen3-VL of few layers, which reads texts and sees pictures."""
    try:
        from comfy.text_encoders import llama, qwen3vl
    except ImportError as error:  # in the oldest ComfyUI that the pack supports
        raise ValueError("This ComfyUI has no Qwen3-VL: update it to 0.27 or newer.") from error

    class Narrow(llama.Qwen3VL_8BConfig):
        def __init__(self, **given):
            super().__init__(**given)
            self.hidden_size, self.intermediate_size, self.num_hidden_layers = 64, 96, 4
            self.num_attention_heads, self.num_key_value_heads, self.lm_head = 4, 2, False

    vision = {"hidden_size": 128, "intermediate_size": 96, "depth": 3, "deepstack_visual_indexes": [0, 1, 2]}
    qwen3vl.QWEN3VL_CONFIGS[QWEN], qwen3vl.QWEN3VL_VISION[QWEN] = Narrow, vision  # beside core's own sizes
    return text_encoder(qwen3vl.te(model_type=QWEN), qwen3vl.tokenizer(model_type=QWEN), seed, {})


def text_encoder(model, tokenizer, seed: int, options: dict[str, dict[str, int]] = OPTIONS) -> comfy.sd.CLIP:
    target = SimpleNamespace(params={}, clip=model, tokenizer=tokenizer)
    clip = comfy.sd.CLIP(target, model_options=options)
    weights = random_state_dict(clip.cond_stage_model, seed)
    clip.cond_stage_model.load_state_dict(weights, assign=clip.patcher.is_dynamic())
    return clip
