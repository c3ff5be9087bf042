"""The demo world's checkpoint. ComfyUI detects models by their published widths, so the narrow ones are built here."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch
from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer, SDClipModel, SDTokenizer
from comfy.supported_models_base import ClipTarget
from comfy.taesd.taesd import TAESD

from . import unet
from .weights import read
from .words import LENGTH, Words
from .world import UNET, UNET_HEADS, TextTower, autoencoder, padded, text_config

MODELS = Path(__file__).resolve().parents[1] / "models"  # also where the pack is linked
NAME = "demo_world.safetensors"


def load(models: Path = MODELS):
    """Load the demo world's checkpoint as (MODEL, CLIP, VAE)."""
    return load_unet(models), load_text_encoder(models), load_autoencoder(models)


# -------------------------------------------------------------------------------------------------------------- model


class WorldLatents(comfy.latent_formats.LatentFormat):
    """Latents with a quarter of the picture's sides, which the autoencoder normalises itself."""

    spacial_downscale_ratio = 4


class WorldSD15(comfy.supported_models.SD15):
    latent_format = WorldLatents

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.V_PREDICTION


def load_unet(models: Path):
    weights, _ = read(models / "diffusion_models" / NAME)
    config = WorldSD15(UNET)
    config.unet_config["num_heads"] = UNET_HEADS  # the class itself says 8
    return unet.filled(unet.patcher(config), weights)


# --------------------------------------------------------------------------------------------------------------- text


class WorldText(SDClipModel):
    def __init__(self, **options):
        super().__init__(max_length=LENGTH, model_class=TextTower, **options)

    def encode(self, tokens):
        states, pooled = super().encode(tokens)
        return padded(states), pooled


def load_text_encoder(models: Path) -> comfy.sd.CLIP:
    weights, metadata = read(models / "text_encoders" / NAME)
    words = Words(json.loads(metadata["words"]))
    target = ClipTarget(partial(SD1Tokenizer, tokenizer=partial(tokenizer, words)), SD1ClipModel)
    target.params = {
        "clip_model": WorldText,
        "textmodel_json_config": text_config(weights, len(words)),
        "special_tokens": {"start": words.start, "end": words.end, "pad": words.end},
    }
    clip = comfy.sd.CLIP(target)
    tower = clip.cond_stage_model.clip_l.transformer
    tower.load_state_dict(weights, assign=clip.patcher.is_dynamic())
    return clip


def tokenizer(words: Words, embedding_directory=None, tokenizer_data={}) -> SDTokenizer:
    """core's tokenizer for the demo's words. It takes no textual inversions: those are for other text models."""
    return SDTokenizer(tokenizer_class=words, max_length=LENGTH, tokenizer_data=tokenizer_data)


# ------------------------------------------------------------------------------------------------------------ pictures


def load_autoencoder(models: Path) -> comfy.sd.VAE:
    """Load the autoencoder. core builds stage A at the published width alone, so ours replaces a TAESD module."""
    weights, _ = read(models / "vae" / NAME)
    module = autoencoder().eval().requires_grad_(False)
    module.load_state_dict(weights)
    vae = comfy.sd.VAE(sd=TAESD(latent_channels=module.c_latent).state_dict(), dtype=torch.float32)
    vae.first_stage_model = module
    vae.downscale_ratio = vae.upscale_ratio = WorldLatents.spacial_downscale_ratio
    vae.disable_offload = True  # some of its parameters are not in layers that ComfyUI moves one by one
    offload_device = comfy.model_management.vae_offload_device()
    vae.patcher = comfy.model_patcher.ModelPatcher(module, load_device=vae.device, offload_device=offload_device)
    vae.size = comfy.model_management.module_size(module)
    return vae
