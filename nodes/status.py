"""The state of the pack as plain data: versions, devices, optional parts, nodes, what is loaded and what was done."""

from dataclasses import asdict
from typing import Any

import comfy.model_management

from ..model_files.environment import optional_parts, versions
from . import activity
from .compat.registration import REGISTRATIONS
from .encoding.encoder import known_features
from .folders import all_shared
from .loading import model_library

PATIENCE = 3.0  # seconds to wait until it is known whether optional parts can be imported


def status() -> dict[str, Any]:
    """The state of the pack, for the status route. `compatibility` is about IPAdapter_plus."""
    first, *more = REGISTRATIONS
    return {
        "versions": versions(),
        "device": _device(),
        "optional": [asdict(part) for part in optional_parts(model_library.index_file(), PATIENCE)],
        "loaded": [_loaded(folder, model) for folder, model in all_shared()],
        "activity": activity.summary(),
        "known features": known_features.stats(),
        "index": model_library.index().stats(),
        "compatibility": first.status(),
        "other packs": {each.pack.name: each.status() for each in more},
    }


def _device() -> dict[str, Any]:
    device = comfy.model_management.get_torch_device()
    return {
        "sampling": str(device),
        "name": comfy.model_management.get_torch_device_name(device),
        "encoding": str(comfy.model_management.text_encoder_device()),
        "half precision": {
            "fp16": comfy.model_management.should_use_fp16(device),
            "bf16": comfy.model_management.should_use_bf16(device),
        },
    }


def _loaded(folder: str, model: Any) -> dict[str, Any]:
    """One loaded model: `bytes` counts its weights, `on_device` those that are on the device that computes."""
    patcher = model.patcher
    dtype = next(patcher.model.parameters()).dtype
    return {
        "folder": folder,
        "name": model.name,
        "dtype": str(dtype).removeprefix("torch."),
        "bytes": patcher.model_size(),
        "on_device": patcher.loaded_size(),
    }
