"""Core's Qwen3-VL with the tiny random weights of the tests of vision-language embeddings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import comfy.sd
import torch
from comfy.sd import CLIPType

sys.path.append(str(Path(__file__).parents[1] / "references" / "vision_language"))

import tiny_qwen3_vl as tiny_qwen  # noqa: E402
from official import Official as Official  # noqa: E402

VISION = {
    "hidden_size": tiny_qwen.VISION_WIDTH,
    "intermediate_size": tiny_qwen.VISION_HIDDEN,
    "depth": tiny_qwen.VISION_DEPTH,
    "deepstack_visual_indexes": list(range(tiny_qwen.VISION_DEPTH)),
}


@contextmanager
def tiny_sizes() -> Iterator[None]:
    """Core takes the tiny model for the 8B: it knows the models by their true widths, and builds them by name."""
    from comfy.text_encoders import llama, qwen3vl  # not in the oldest ComfyUI that the pack supports

    class Config(llama.Qwen3VL_8BConfig):
        """As few and as narrow layers as the tiny model has."""

        def __init__(self, **given: Any):
            super().__init__(**given)
            self.hidden_size, self.intermediate_size = tiny_qwen.WIDTH, tiny_qwen.HIDDEN
            self.num_hidden_layers, self.lm_head = tiny_qwen.LAYERS, False
            self.num_attention_heads, self.num_key_value_heads = tiny_qwen.HEADS, tiny_qwen.KEY_HEADS

    with (
        patch.dict(qwen3vl.QWEN3VL_CONFIGS, qwen3vl_8b=Config),
        patch.dict(qwen3vl.QWEN3VL_VISION, qwen3vl_8b=VISION),
        patch.dict(qwen3vl.QWEN3VL_VISION_COMMON, num_heads=tiny_qwen.VISION_HEADS),
    ):
        yield


@cache
def core_qwen(kind: CLIPType = CLIPType.QWEN_IMAGE, dtype: torch.dtype = torch.float32) -> comfy.sd.CLIP:
    """The CLIP that core makes of a file, as Load CLIP does with this type."""
    with tiny_sizes():
        return comfy.sd.load_text_encoder_state_dicts([tiny_qwen.weights(dtype=dtype)], clip_type=kind)
