"""Narrow UNets with the blocks, block names and context widths of SD1.5 and SDXL."""

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.supported_models
import torch

from .topologies import unet_config
from .weights import StateDict, random_state_dict


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
    config = NarrowSD15(unet_config("SD1.5", 32))
    config.unet_config["num_heads"] = 4  # the class itself says 8
    return randomised(patcher(config), seed)


def sdxl(seed: int):
    """70 cross-attentions of width 32 and 64."""
    config = NarrowSDXL(unet_config("SDXL", 32, channel_mult=[1, 1, 2]))
    config.unet_config["num_head_channels"] = 16  # the class itself says 64
    return randomised(patcher(config), seed)


def sdxl_controlnet(seed: int) -> comfy.controlnet.ControlNet:
    """A ControlNet for `sdxl`, with 34 cross-attentions."""
    config = unet_config("SDXL", 32, channel_mult=[1, 1, 2], num_head_channels=16)
    device = comfy.model_management.unet_offload_device()
    network = comfy.cldm.cldm.ControlNet(**config, hint_channels=3, device=device, operations=comfy.ops.manual_cast)
    control = comfy.controlnet.ControlNet(network.eval(), load_device=comfy.model_management.get_torch_device())
    weights = random_state_dict(network, seed, gain=0.7)
    network.load_state_dict(weights, assign=control.control_model_wrapped.is_dynamic())
    return control


def randomised(patched, seed: int):
    return filled(patched, random_state_dict(patched.model.diffusion_model, seed, gain=0.7))


def patcher(config):
    """Build a model as core's loader does, but without weights or the detection that refuses narrow models."""
    offload = comfy.model_management.unet_offload_device()
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=offload).eval()
    # looked up at call time: ComfyUI rebinds the name when dynamic VRAM is on
    return comfy.model_patcher.CoreModelPatcher(model, comfy.model_management.get_torch_device(), offload)


def filled(patched, weights: StateDict):
    patched.model.diffusion_model.load_state_dict(weights, assign=patched.is_dynamic())
    return patched
