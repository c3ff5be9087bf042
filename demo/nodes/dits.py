"""Narrow transformers with the blocks of SD3.5 Large and Anima, whose own widths ComfyUI's loader asks for."""

from typing import Any

import comfy.supported_models
import torch

from .unet import patcher, randomised

CHANNELS = 16  # of latents
TEXT, ANIMA_TEXT, POOLED = 4096, 1024, 2048

SD35: dict[str, Any] = {
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "patch_size": 2,
    "input_size": None,
    "depth": 1,  # its heads, 64 wide
    "num_blocks": 38,
    "adm_in_channels": POOLED,
    "context_embedder_config": {
        "target": "torch.nn.Linear",
        "params": {"in_features": TEXT, "out_features": 64},
    },
    "num_patches": 64 * 64,
    "pos_embed_max_size": 64,
    "pos_embed_scaling_factor": None,
    "qk_norm": "rms",
    "x_block_self_attn_layers": [],
}

ANIMA: dict[str, Any] = {
    "image_model": "anima",
    "max_img_h": 240,
    "max_img_w": 240,
    "max_frames": 128,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "patch_spatial": 2,
    "patch_temporal": 1,
    "model_channels": 48,
    "num_blocks": 28,
    "num_heads": 2,
    "crossattn_emb_channels": ANIMA_TEXT,
    "pos_emb_cls": "rope3d",
    "pos_emb_learnable": True,
    "use_adaln_lora": True,
    "adaln_lora_dim": 8,
    "rope_h_extrapolation_ratio": 4.0,
    "rope_w_extrapolation_ratio": 4.0,
    "rope_enable_fps_modulation": False,
}


def sd35(seed: int):
    return randomised(patcher(comfy.supported_models.SD3(SD35)), seed)


def anima(seed: int):
    """It is without the network for text tokens, which has one size alone, and is not narrow."""
    patched = patcher(comfy.supported_models.Anima(ANIMA))
    patched.model.diffusion_model.llm_adapter = torch.nn.Identity()
    return randomised(patched, seed)
