"""Keys and values of references in ComfyUI's hands, made once however many image prompts use them."""

import hashlib
import weakref
from collections.abc import Hashable, Sequence
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch
from comfy.model_patcher import ModelPatcher

from ..ip_adapter import (
    Features,
    IPAdapter,
    Keys,
    PerWindow,
    Sides,
    image_tokens,
    kept_memory,
    project,
    working_memory,
)
from .adapter import ImagePromptAdapter


class Prepared:
    """Keys and values of the references and of the negative images, which ComfyUI loads, counts and offloads."""

    def __init__(self, sides: Sides, adapter: ImagePromptAdapter, load_device: torch.device):
        self.sides = sides
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            sides, load_device=load_device, offload_device=comfy.model_management.unet_offload_device()
        )
        self.adapter = adapter if any(isinstance(keys, PerWindow) for keys in sides.children()) else None

    def side(self, name: str) -> Keys:
        """`name` is "cond" or "uncond"."""
        return self.sides.side(name)

    def models(self) -> list[ModelPatcher]:
        """What ComfyUI has to load while the model runs."""
        return [self.patcher] if self.adapter is None else [self.patcher, self.adapter.patcher]


RECENT = 256 << 20  # bytes of keys and values of an adapter that are kept though nothing uses them any more

# By adapter, what is in use or recent: a second weight of the same picture projects nothing again.
_in_use: weakref.WeakKeyDictionary[IPAdapter, weakref.WeakValueDictionary[Hashable, Prepared]] = (
    weakref.WeakKeyDictionary()
)


def prepare(
    adapter: ImagePromptAdapter,
    cond: Features,
    uncond: Features,
    layers: Sequence[int],
    heads: Sequence[int],
    *,
    together: bool,
    dtype: torch.dtype,
    load_device: torch.device,
) -> Prepared:
    """Keys and values for the features of references and of negative images.

    Args:
        layers: of the adapter. heads: of the model at each of them
        together: all references are one prompt, instead of one for each picture; likewise the negative images
        dtype, load_device: of the model that attends to them
    """
    shared = _in_use.setdefault(adapter.module, weakref.WeakValueDictionary())
    key = (_digest(cond), _digest(uncond), *layers, *heads, together, dtype, load_device)
    found = shared.get(key)
    if found is None:
        sides = _projected(adapter, cond, uncond, layers, heads, together, dtype)
        found = shared[key] = Prepared(sides, adapter, load_device)
    _remember(adapter, found)
    return found


def _remember(adapter: ImagePromptAdapter, used: Prepared) -> None:
    """For the next run: ComfyUI drops the models of a changed workflow before it runs the new one."""
    recent = [used, *(each for each in adapter.recent if each is not used)]
    sizes = [each.patcher.model_size() for each in recent]
    adapter.recent = [each for number, each in enumerate(recent) if sum(sizes[: number + 1]) <= RECENT]


def _digest(features: Features) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in features.items():
        content: Any = tensor.cpu().contiguous().view(torch.uint8).numpy()
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(content)
    return digest.digest()


def _projected(
    adapter: ImagePromptAdapter,
    cond: Features,
    uncond: Features,
    layers: Sequence[int],
    heads: Sequence[int],
    together: bool,
    dtype: torch.dtype,
) -> Sides:
    """Computed on the device; what comes out lies where ComfyUI keeps what it may load later."""
    module = adapter.module
    device, keep_on = adapter.patcher.load_device, comfy.model_management.unet_offload_device()
    needed = working_memory(module, cond, uncond)
    if keep_on == device:
        needed += kept_memory(module, cond, uncond, layers, dtype)
    comfy.model_management.load_models_gpu([adapter.patcher], memory_required=needed)
    try:
        tokens = image_tokens(module, cond, uncond, device=device, keep_on=keep_on)
        tokens = tokens.together() if together else tokens
        return project(module, tokens, layers, heads, dtype=dtype, device=device, keep_on=keep_on)
    finally:  # sampling needs none of these weights, or loads them itself: their room is the model's
        comfy.model_management.unload_model_and_clones(adapter.patcher)
