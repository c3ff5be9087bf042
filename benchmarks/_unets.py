"""UNets of the published widths with random weights, and their cross-attentions in file order."""

from typing import Any

import comfy.model_patcher
import comfy.supported_models
import torch
from comfy.model_patcher import ModelPatcher

from image_prompt.ip_adapter import Block

COMMON = {
    "use_checkpoint": False, "image_size": 32, "use_spatial_transformer": True, "legacy": False, "in_channels": 4,
    "out_channels": 4, "model_channels": 320, "use_temporal_resblock": False, "use_temporal_attention": False,
}
CONFIGS: dict[str, tuple[type, dict[str, Any]]] = {
    "SD1.5": (comfy.supported_models.SD15, {
        "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4], "context_dim": 768, "adm_in_channels": None,
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "use_linear_in_transformer": False}),
    "SDXL": (comfy.supported_models.SDXL, {
        "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "context_dim": 2048, "adm_in_channels": 2816,
        "num_classes": "sequential", "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "use_linear_in_transformer": True}),
}


def _blocks(places: list[tuple[str, int, int, int, int]]) -> list[tuple[Block, int]]:
    """(block, heads) of (kind, index, depth of the transformer, width, heads)."""
    return [(Block(kind, index, depth, width), heads) for kind, index, depths, width, heads in places
            for depth in range(depths)]


BLOCKS = {
    "SD1.5": _blocks(
        [("input", index, 1, (320, 640, 1280)[index // 3], 8) for index in (1, 2, 4, 5, 7, 8)]
        + [("output", index, 1, (1280, 640, 320)[(index - 3) // 3], 8) for index in range(3, 12)]
        + [("middle", 0, 1, 1280, 8)]),
    "SDXL": _blocks(
        [("input", 4, 2, 640, 10), ("input", 5, 2, 640, 10), ("input", 7, 10, 1280, 20), ("input", 8, 10, 1280, 20)]
        + [("output", index, 10, 1280, 20) for index in range(3)]
        + [("output", index, 2, 640, 10) for index in range(3, 6)]
        + [("middle", 0, 10, 1280, 20)]),
}


def random_unet(base: str, dtype: torch.dtype) -> ModelPatcher:
    kind, found = CONFIGS[base]
    config = kind({**COMMON, **found, "dtype": dtype})
    config.set_inference_dtype(dtype, None)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.diffusion_model.named_parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.7 / parameter[0].numel() ** 0.5, generator=generator)
        else:
            parameter.data.fill_(float(name.endswith("weight")))
    return comfy.model_patcher.CoreModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)
