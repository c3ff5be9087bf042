"""An IP-Adapter that ComfyUI manages: its weights are loaded, offloaded and counted like those of any model."""

import os
from collections.abc import Mapping
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
from comfy.model_patcher import ModelPatcher

from ...ip_adapter import IPAdapter, load, load_adapter


class ImagePromptAdapter:
    """A loaded adapter, as the IMAGE_PROMPT_ADAPTER socket carries it."""

    def __init__(self, module: IPAdapter, name: str):
        self.module = module
        self.name = name
        self.recent: list[Any] = []  # `Prepared` keys and values, the last used first
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            module,
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )

    @classmethod
    def from_file(cls, path: str) -> "ImagePromptAdapter":
        """Load the adapter in a file. Raises a ValueError with the file's name if it cannot be used."""
        name = os.path.basename(path)
        return cls(load(path, "cpu", None, name=name, ops=comfy.ops.manual_cast), name)

    @classmethod
    def from_tensors(cls, sd: Mapping[str, Any], name: str) -> "ImagePromptAdapter":
        """Make the adapter of these tensors, as `load_adapter` takes them. It shares their memory. Raises as that."""
        return cls(load_adapter(sd, name=name, ops=comfy.ops.manual_cast, device="cpu"), name)

    @property
    def kind(self) -> str:
        return f"{self.module.family.name} for {self.module.base_model}"

    def get_models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def is_dynamic(self) -> bool:
        return self.patcher.is_dynamic()
