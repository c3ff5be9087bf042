"""UNets of the published widths with random weights, and their cross-attentions in file order."""

import comfy.model_patcher
import comfy.supported_models
import torch
from comfy.model_patcher import ModelPatcher

from image_prompt.demo.nodes.topologies import unet_config
from image_prompt.ip_adapter import Block

CLASSES = {"SD1.5": comfy.supported_models.SD15, "SDXL": comfy.supported_models.SDXL}


def _blocks(places: list[tuple[str, int, int, int, int]]) -> list[tuple[Block, int]]:
    """(block, heads) of (kind, index, depth of the transformer, width, heads)."""
    return [
        (Block(kind, index, depth, width), heads)
        for kind, index, depths, width, heads in places
        for depth in range(depths)
    ]


BLOCKS = {
    "SD1.5": _blocks(
        [("input", index, 1, (320, 640, 1280)[index // 3], 8) for index in (1, 2, 4, 5, 7, 8)]
        + [("output", index, 1, (1280, 640, 320)[(index - 3) // 3], 8) for index in range(3, 12)]
        + [("middle", 0, 1, 1280, 8)]
    ),
    "SDXL": _blocks(
        [("input", 4, 2, 640, 10), ("input", 5, 2, 640, 10), ("input", 7, 10, 1280, 20), ("input", 8, 10, 1280, 20)]
        + [("output", index, 10, 1280, 20) for index in range(3)]
        + [("output", index, 2, 640, 10) for index in range(3, 6)]
        + [("middle", 0, 10, 1280, 20)]
    ),
}


def random_unet(base: str, dtype: torch.dtype) -> ModelPatcher:
    config = CLASSES[base](unet_config(base, dtype=dtype))
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
