"""An IP-Adapter in ComfyUI's hands: its weights are loaded, offloaded and counted like those of any model."""

import os
from collections.abc import Sequence

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher

from ..ip_adapter import IPAdapter, load_adapter
from ..ip_adapter.key_values import KeyValue
from .host import read_tensors


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
        tensors, _ = read_tensors(path)
        name = os.path.basename(path)
        try:
            module = load_adapter(tensors, name=name, ops=comfy.ops.manual_cast)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        return cls(module, name)

    def get_models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def is_dynamic(self) -> bool:
        return self.patcher.is_dynamic()

    def project(
        self, cond: torch.Tensor, uncond: torch.Tensor, together: bool, layers: Sequence[int]
    ) -> tuple[list[KeyValue], list[KeyValue]]:
        """Per-layer keys and values of the reference features and of the negative ones, in fp32.

        Args:
            cond: (R, D) or (R, N, W) features of the references
            uncond: the same of the negative
            together: join the tokens of all rows of a side into one prompt, instead of one prompt each
            layers: numbers of the layers to project, in the order in which they are wanted
        """
        comfy.model_management.load_models_gpu([self.patcher])
        device = self.patcher.load_device
        features = torch.cat([cond, uncond]).to(device, torch.float32)  # one pass: each weight is read and cast once
        tokens = self.module.tokens(features)  # (rows, T, C)
        pairs = self.module.key_value(tokens.flatten(0, 1).unsqueeze(0), layers)  # (1, rows * T, I)
        # Sampling needs none of these weights: their room is the model's.
        comfy.model_management.unload_model_and_clones(self.patcher)
        split = len(cond) * tokens.shape[1]
        sides = [[(k[:, :split], v[:, :split]) for k, v in pairs], [(k[:, split:], v[:, split:]) for k, v in pairs]]
        if together:
            return sides[0], sides[1]
        cond_rows, uncond_rows = (
            [(_rows(k, count), _rows(v, count)) for k, v in side]
            for side, count in zip(sides, (len(cond), len(uncond)))
        )
        return cond_rows, uncond_rows


def _rows(tokens: torch.Tensor, count: int) -> torch.Tensor:
    """(1, R * T, I) -> (R, T, I)."""
    return tokens[0].unflatten(0, (count, -1))
