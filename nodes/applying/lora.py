"""Apply the LoRA of an adapter to a model through ComfyUI's patches of weights, once however often it is asked for."""

import logging
import weakref
from typing import Any

import comfy.lora
import torch
from comfy.model_patcher import ModelPatcher

from ...ip_adapter import IPAdapter
from ...ip_adapter.lora import pairs
from ..loading.adapter import ImagePromptAdapter
from .hosts.unet import attention_paths
from .image_prompt import AdapterLora

TO = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}  # projections, as LoRAs and as UNets name them


def lora_of(adapter: ImagePromptAdapter) -> AdapterLora | None:
    """The LoRA that an adapter brings along; None if it has none, or if that is not to act."""
    strength = adapter.options.lora_strength
    return AdapterLora(adapter.module, strength) if adapter.module.lora and strength else None


def add_lora(model: ModelPatcher, lora: AdapterLora) -> None:
    """Add a LoRA to a model, unless its weights are patched with it already. It changes `model`, so pass a clone."""
    patches = _patches(model, lora.adapter)
    if is_patched(model, patches):
        logging.getLogger(__name__).info("The LoRA of %s acts already, and is not added again.", lora.adapter.title)
        return
    model.add_patches(patches, lora.strength)


def is_patched(model: ModelPatcher, patches: dict[str, Any]) -> bool:
    """Whether a model has these patches, of whatever strength: from a node for LoRAs, or from another adapter node."""
    key, patch = next(iter(patches.items()))
    return any(_is_same(patch, given[1]) for given in model.patches.get(key, ()))


def _is_same(patch: Any, other: Any) -> bool:
    ours, theirs = getattr(patch, "weights", ()), getattr(other, "weights", ())
    return len(theirs) >= 2 and all(
        isinstance(b, torch.Tensor) and a.shape == b.shape and torch.equal(a.float(), b.to(a.device).float())
        for a, b in zip(ours[:2], theirs[:2])
    )


_made: weakref.WeakKeyDictionary[IPAdapter, dict[Any, dict[str, Any]]] = weakref.WeakKeyDictionary()


def _patches(model: ModelPatcher, adapter: IPAdapter) -> dict[str, Any]:
    """ComfyUI's patches for the weights of a model, by the names of these weights."""
    paths = tuple(attention_paths(model.get_model_object("diffusion_model")))
    known = _made.setdefault(adapter, {})
    if paths not in known:
        tensors, names = dict[str, torch.Tensor](), dict[str, str]()
        for layer, is_cross, to, down, up in pairs(adapter.lora):
            name = f"{paths[layer]}.attn{2 if is_cross else 1}.{TO[to]}"
            names[name] = f"diffusion_model.{name}.weight"
            tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        known[paths] = comfy.lora.load_lora(tensors, names)
    return known[paths]
