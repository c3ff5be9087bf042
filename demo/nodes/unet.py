"""Narrow UNets with the blocks, block names and context widths of SD1.5 and SDXL."""

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch

from .weights import random_state_dict

COMMON = {
    "use_checkpoint": False, "image_size": 32, "use_spatial_transformer": True, "legacy": False,
    "in_channels": 4, "out_channels": 4, "model_channels": 32,
    "use_temporal_resblock": False, "use_temporal_attention": False,
}  # fmt: skip


class Bounded:
    """v-prediction: random noise predictions add up to nothing visible, random v-predictions stay a picture."""

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.V_PREDICTION


class NarrowSD15(Bounded, comfy.supported_models.SD15):
    pass


class NarrowSDXL(Bounded, comfy.supported_models.SDXL):
    pass


def sd15(seed: int):
    """16 cross-attentions of width 32, 64 and 128."""
    config = NarrowSD15({
        **COMMON, "adm_in_channels": None, "context_dim": 768, "use_linear_in_transformer": False,
        "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    })  # fmt: skip
    config.unet_config["num_heads"] = 4  # the class itself says 8
    return patcher(config, seed)


def sdxl(seed: int):
    """70 cross-attentions of width 32 and 64."""
    config = NarrowSDXL({
        **COMMON, "adm_in_channels": 2816, "num_classes": "sequential", "context_dim": 2048,
        "use_linear_in_transformer": True, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 1, 2],
        "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    })  # fmt: skip
    config.unet_config["num_head_channels"] = 16  # the class itself says 64
    return patcher(config, seed)


def patcher(config, seed: int):
    """The route of core's own loader, without the detection that refuses narrow models."""
    offload = comfy.model_management.unet_offload_device()
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=offload)
    # looked up at call time: ComfyUI rebinds the name when dynamic VRAM is on
    patched = comfy.model_patcher.CoreModelPatcher(model, comfy.model_management.get_torch_device(), offload)
    weights = random_state_dict(model.diffusion_model, seed, gain=0.7)
    model.diffusion_model.load_state_dict(weights, assign=patched.is_dynamic())
    model.eval()
    return patched
