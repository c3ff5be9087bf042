"""Apply the LoRA of an adapter to a model through ComfyUI's patches of weights, once however often it is asked for."""

import logging
import uuid
import weakref
from typing import Any

import comfy.lora
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP

from ...ip_adapter import IPAdapter
from ...ip_adapter.lora import pairs
from ..loading.adapter import ImagePromptAdapter
from .hosts import host_of
from .image_prompt import AdapterLora
from .sampling import KEY

SAME = (2**-7, 1e-6)  # relative and absolute: one of the files may have been saved with fewer digits
MODULES = {"to_out": "to_out.0"}  # as LoRAs name them -> as models do, where that differs


def lora_of(adapter: ImagePromptAdapter) -> AdapterLora | None:
    """The LoRA that an adapter brings along; None if it has none, or if that is not to act."""
    strength = adapter.options.lora_strength
    return AdapterLora(adapter.module, strength) if adapter.module.lora and strength else None


def add_lora(model: ModelPatcher, lora: AdapterLora) -> None:
    """Add a LoRA to a model, unless its weights are patched with it already. It changes `model`, so pass a clone.

    A node for LoRAs may follow and add the same one: then that one counts, and ours is taken away before sampling.
    """
    patches = _patches(model, lora.adapter)
    if (there := _strength(model, patches)) is not None:
        level = logging.INFO if there == lora.strength else logging.WARNING
        logging.getLogger(__name__).log(
            level,
            "The LoRA of %s acts already, with a strength of %g, and is not added again.",
            lora.adapter.title,
            there,
        )
        return
    model.add_patches(patches, lora.strength)
    if not model.get_wrappers(WrappersMP.PREPARE_SAMPLING, KEY):
        model.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, _keep_one)


def _keep_one(executor: WrapperExecutor, model: ModelPatcher, *args: Any, **kwargs: Any) -> Any:
    """Take away those of our patches that a node for LoRAs has added as well."""
    for patches in [each for known in list(_made.values()) for each in known.values()]:
        key, patch = next(iter(patches.items()))
        given = [entry[1] for entry in model.patches.get(key, ())]
        if any(each is patch for each in given) and any(each is not patch and _is_same(patch, each) for each in given):
            for name, ours in patches.items():
                model.patches[name] = [entry for entry in model.patches[name] if entry[1] is not ours]
            model.patches_uuid = uuid.uuid4()  # by which ComfyUI tells whether weights have to be patched anew
    return executor(model, *args, **kwargs)


def _strength(model: ModelPatcher, patches: dict[str, Any]) -> float | None:
    """The strength with which a model has these patches, from whatever node; None if it does not."""
    key, patch = next(iter(patches.items()))
    return next((given[0] for given in model.patches.get(key, ()) if _is_same(patch, given[1])), None)


def _is_same(patch: Any, other: Any) -> bool:
    ours, theirs = getattr(patch, "weights", ()), getattr(other, "weights", ())
    return len(theirs) >= 2 and all(
        isinstance(b, torch.Tensor) and a.shape == b.shape and torch.allclose(a.float(), b.to(a).float(), *SAME)
        for a, b in zip(ours[:2], theirs[:2])
    )


_made: weakref.WeakKeyDictionary[IPAdapter, dict[Any, dict[str, Any]]] = weakref.WeakKeyDictionary()


def _patches(model: ModelPatcher, adapter: IPAdapter) -> dict[str, Any]:
    """ComfyUI's patches for the weights of a model, by the names of these weights."""
    host = host_of(model)
    paths = tuple(host.paths(model)) if host else ()
    known = _made.setdefault(adapter, {})
    if paths not in known:
        tensors, names = dict[str, torch.Tensor](), dict[str, str]()
        for pair in pairs(adapter.lora):
            name = f"{paths[pair.number]}.{MODULES.get(pair.module, pair.module)}"
            names[name] = f"diffusion_model.{name}.weight"
            tensors |= {f"{name}.lora_down.weight": pair.down, f"{name}.lora_up.weight": pair.up}
        known[paths] = comfy.lora.load_lora(tensors, names)
    return known[paths]
