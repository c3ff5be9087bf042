"""An IP-Adapter in ComfyUI's hands: its weights are loaded, offloaded and counted like those of any model."""

import os
from collections.abc import Sequence

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher

from ..ip_adapter import ImageKeyValues, IPAdapter, load_adapter, project, working_memory
from .host import weights_of


class ImagePromptAdapter:
    """What the IMAGE_PROMPT_ADAPTER socket carries."""

    def __init__(self, module: IPAdapter, name: str):
        self.module = module
        self.name = name
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            module,
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )

    @classmethod
    def from_file(cls, path: str) -> "ImagePromptAdapter":
        name = os.path.basename(path)
        with weights_of(path, name) as weights:
            module = load_adapter(weights.tensors, read=weights.read, name=name, ops=comfy.ops.manual_cast)
        return cls(module, name)

    def get_models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def is_dynamic(self) -> bool:
        return self.patcher.is_dynamic()

    def project(
        self,
        cond: torch.Tensor,
        uncond: torch.Tensor,
        layers: Sequence[int],
        heads: Sequence[int],
        *,
        together: bool,
        weight: float,
        dtype: torch.dtype,
    ) -> ImageKeyValues:
        """As `ip_adapter.project`, on the device; what comes out lies where ComfyUI keeps what it may load later."""
        device, keep_on = self.patcher.load_device, comfy.model_management.unet_offload_device()
        needed = working_memory(self.module, cond, uncond)
        if keep_on == device:
            widths = sum(self.module.layer_widths[layer] for layer in layers)
            count = self.module.count_tokens(cond) * (len(cond) + len(uncond))
            needed += 2 * count * widths * dtype.itemsize
        comfy.model_management.load_models_gpu([self.patcher], memory_required=needed)
        try:
            return project(
                self.module,
                cond,
                uncond,
                layers,
                heads,
                together=together,
                weight=weight,
                dtype=dtype,
                device=device,
                keep_on=keep_on,
            )
        finally:  # sampling needs none of these weights: their room is the model's
            comfy.model_management.unload_model_and_clones(self.patcher)
