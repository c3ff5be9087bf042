"""Shallow text encoders with the real tokenizer and the real output widths, so that core's CLIPTextEncode works."""

from types import SimpleNamespace

import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip

from .weights import random_state_dict

SHALLOW = {"num_hidden_layers": 3, "intermediate_size": 64}  # SDXL reads the last but one of three
OPTIONS = {"clip_l_model_config": SHALLOW, "clip_g_model_config": SHALLOW}


def sd15(seed: int) -> comfy.sd.CLIP:
    return text_encoder(comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer, seed)


def sdxl(seed: int) -> comfy.sd.CLIP:
    return text_encoder(comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer, seed)


def text_encoder(model, tokenizer, seed: int) -> comfy.sd.CLIP:
    target = SimpleNamespace(params={}, clip=model, tokenizer=tokenizer)
    clip = comfy.sd.CLIP(target, model_options=OPTIONS)
    weights = random_state_dict(clip.cond_stage_model, seed)
    clip.cond_stage_model.load_state_dict(weights, assign=clip.patcher.is_dynamic())
    return clip
