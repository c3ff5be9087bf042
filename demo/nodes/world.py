"""The small models of the demo world, from ComfyUI's own classes. Training and the demo's nodes build the same."""

from __future__ import annotations

from typing import Any

import comfy.ops
import torch
from comfy.clip_model import CLIPTextModel
from comfy.ldm.cascade.stage_a import StageA
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor, nn

from .topologies import unet_config
from .words import LENGTH

UNET = unet_config("SD1.5", 32, channel_mult=[1, 2, 3, 3])  # the published one has 320 and [1, 2, 4, 4]
UNET_HEADS = 2
CONTEXT = UNET["context_dim"]
TEXT_HEADS = 4


def autoencoder() -> StageA:
    """64x64 pixels -> 4 x 16 x 16: Stable Cascade's stage A, without its codebook."""
    module = StageA(c_hidden=64, bottleneck_blocks=2, codebook_size=1)
    return module.requires_grad_(True)  # the class freezes the gates of its blocks


def unet() -> UNetModel:
    return UNetModel(**UNET, num_heads=UNET_HEADS, dtype=torch.float32, operations=comfy.ops.disable_weight_init)


def padded(context: Tensor) -> Tensor:
    """The narrow text states, with zeros up to the width that SD1.5's cross-attentions take."""
    return nn.functional.pad(context, (0, CONTEXT - context.shape[-1]))


class TextTower(CLIPTextModel):
    """core's CLIP text model with another vocabulary. (B, LENGTH) -> states (B, LENGTH, width), ..."""

    def __init__(self, config_dict: dict[str, Any], dtype: Any, device: Any, operations: Any):
        super().__init__(config_dict, dtype, device, operations)
        self.width = config_dict["hidden_size"]
        vocabulary = config_dict["vocab_size"]
        self.set_input_embeddings(operations.Embedding(vocabulary, self.width, dtype=dtype, device=device))

    @classmethod
    def from_weights(cls, weights: dict[str, Tensor], vocabulary: int) -> TextTower:
        tower = cls(text_config(weights, vocabulary), torch.float32, None, comfy.ops.disable_weight_init)
        tower.load_state_dict(weights)
        return tower


def text_config(weights: dict[str, Tensor], vocabulary: int) -> dict[str, Any]:
    """core's words for the sizes of a text tower."""
    layers = {name.split(".")[3] for name in weights if name.startswith("text_model.encoder.layers.")}
    mlp, width = weights["text_model.encoder.layers.0.mlp.fc1.weight"].shape
    return {
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": len(layers),
        "vocab_size": vocabulary,
        "num_attention_heads": TEXT_HEADS,
        "max_position_embeddings": LENGTH,
        "hidden_act": "quick_gelu",
        "eos_token_id": vocabulary - 1,
    }
