"""Tell by the header of a diffusion model's file which base model it is, before anything loads it."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import comfy.model_detection
import folder_paths

from ...ip_adapter import BASE_MODELS
from ...tensor_files import read_header
from ...tensor_files.weights import on_meta
from ..folders import file_state

FOLDERS = ("checkpoints", "diffusion_models")

Config = Mapping[str, Any]  # of a network, as ComfyUI detects it


def base_of_listed(name: str) -> str:
    """The base model of a file that ComfyUI lists as a checkpoint or a diffusion model; "" if it is not known."""
    paths = (folder_paths.get_full_path(folder, name) for folder in FOLDERS)
    return next((base for path in paths if path and (base := _base_of(*file_state(path)))), "")


@cache
def _base_of(path: str, *_: int) -> str:
    try:
        tensors = on_meta(read_header(path).state_dict)
        prefix = comfy.model_detection.unet_prefix_from_state_dict(tensors)
        alone = not any(key.startswith(prefix) for key in tensors)  # without text encoders and without a prefix
        config = comfy.model_detection.detect_unet_config(tensors, "" if alone else prefix)
    except Exception:  # it is no model, or ComfyUI wants its numbers, which are not read here
        return ""
    return next((base for rule in RULES if config and (base := rule(config))), "")


def _unet(config: Config) -> str:
    depths = *config.get("transformer_depth", ()), *config.get("transformer_depth_output", ())
    layers = sum(depths) + max(config.get("transformer_depth_middle", 0), 0)
    sizes = layers, config.get("context_dim"), config.get("adm_in_channels") or 0
    return next((row.name for row in BASE_MODELS if (row.layers, row.context_width, row.vector_width) == sizes), "")


def _flux(config: Config) -> str:
    if config.get("image_model") not in ("flux", "chroma"):
        return ""
    vector = 0 if config["image_model"] == "chroma" else config.get("vec_in_dim") or 0
    sizes = config.get("context_in_dim"), vector
    rows = (row for row in BASE_MODELS if row.host == "flux")
    return next((row.name for row in rows if (row.context_width, row.vector_width) == sizes), "")


def _sd3(config: Config) -> str:
    if "x_block_self_attn_layers" not in config:
        return ""
    if config.get("qk_norm") != "rms":
        return "SD3 Medium"
    return "SD3.5 Medium" if config["x_block_self_attn_layers"] else "SD3.5 Large"


def _anima(config: Config) -> str:
    return "Anima" if config.get("image_model") == "anima" else ""


RULES: tuple[Callable[[Config], str], ...] = (_flux, _sd3, _anima, _unet)
