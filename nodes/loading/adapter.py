"""An IP-Adapter that ComfyUI manages: its weights are loaded, offloaded and counted like those of any model."""

import copy
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher

from ...ip_adapter import Combine, IPAdapter, TokenOptions, alike, copy_adapter, load, load_adapter


@dataclass(frozen=True)
class AdapterOptions:
    """What nodes may choose about an adapter, besides how strongly it acts.

    lora_strength: of the LoRA that was trained together with it
    shortcut: as `TokenOptions` has it
    combine, zero_tokens: instead of what its family says; None: as the family says
    noise, averaged: as `TokenOptions` has them
    text_scale: factor on the model's own projection of text, where the tokens go through it
    """

    lora_strength: float = 1.0
    shortcut: float = 1.0
    combine: Combine | None = None
    zero_tokens: int | None = None
    noise: float = 0.0
    averaged: bool = False
    text_scale: float = 1.0


class ImagePromptAdapter:
    """A loaded adapter, as the IMAGE_PROMPT_ADAPTER socket carries it."""

    def __init__(self, module: IPAdapter, name: str, again: Callable[[], IPAdapter] | None = None):
        """Hand an adapter over to ComfyUI.

        again: makes it anew, with tensors of its own, for ComfyUI's deep clones; by default of those of `module`
        """
        again = again or partial(copy_adapter, module, ops=comfy.ops.manual_cast)
        self.module = module
        self.name = name
        self.options = AdapterOptions()
        self.recent: list[Any] = []  # `Prepared` keys and values, the last used first
        self.patcher = _managed(module, partial(_again, again))
        has_layers = len(module.sampling_layers) > 0
        self.sampling_patcher = _managed(module.sampling_layers, partial(_layers_again, again)) if has_layers else None

    @classmethod
    def from_file(cls, path: str, family: str = "") -> "ImagePromptAdapter":
        """Load the adapter in a file. Raises a ValueError with the file's name if it cannot be used.

        family: its id, where the shapes of the file leave a choice
        """
        name = os.path.basename(path)
        again = partial(load, path, "cpu", None, name=name, family=family, ops=comfy.ops.manual_cast)
        return cls(again(), name, again)

    @classmethod
    def from_tensors(cls, sd: Mapping[str, Any], name: str, family: str = "") -> "ImagePromptAdapter":
        """Make the adapter of these tensors, as `load_adapter` takes them. It shares their memory. Raises as that."""
        return cls(load_adapter(sd, name=name, family=family, ops=comfy.ops.manual_cast, device="cpu"), name)

    def as_family(self, family: str) -> "ImagePromptAdapter":
        """The same adapter, its weights shared, as one of another family whose files have the same shapes.

        family: its id. If files of it have other shapes, this adapter is returned
        """
        possible = {each.id for each in alike(self.module.family)} - {self.module.family.id}
        if family not in possible:
            return self
        known = _as_others.setdefault(self.module, {})
        if family not in known:
            known[family] = ImagePromptAdapter.from_tensors(self.module.weights(), self.name, family)
            known[family].module.lora = self.module.lora
        return known[family].with_options(self.options)

    def with_options(self, options: AdapterOptions) -> "ImagePromptAdapter":
        """The same adapter, its weights shared, with other options."""
        if options == self.options:
            return self
        other = copy.copy(self)
        other.options = options
        return other

    @property
    def token_options(self) -> TokenOptions:
        chosen, usual = self.options.zero_tokens, self.module.family.zero_tokens
        return TokenOptions(
            shortcut=self.options.shortcut,
            zero_tokens=usual if chosen is None else chosen,
            noise=self.options.noise,
            averaged=self.options.averaged,
        )

    @property
    def combine(self) -> Combine:
        """How its image prompts join the text attention."""
        return self.options.combine or self.module.family.combine

    @property
    def kind(self) -> str:
        return f"{self.module.family.name} for {self.module.base_model}"

    def get_models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def is_dynamic(self) -> bool:
        return self.patcher.is_dynamic()


def _managed(module: torch.nn.Module, again: Callable[..., ModelPatcher]) -> ModelPatcher:
    """A patcher for a module. ComfyUI calls `again` for a patcher of other tensors, which it makes deep clones of."""
    patcher = _patcher(comfy.model_patcher.CoreModelPatcher, module)
    patcher.cached_patcher_init = (again, ())
    return patcher


def _again(make: Callable[[], IPAdapter], *, disable_dynamic: bool = False) -> ModelPatcher:
    return _patcher(_kind(disable_dynamic), make())


def _layers_again(make: Callable[[], IPAdapter], *, disable_dynamic: bool = False) -> ModelPatcher:
    return _patcher(_kind(disable_dynamic), make().sampling_layers)


def _kind(disable_dynamic: bool) -> type[ModelPatcher]:
    return ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher


def _patcher(kind: type[ModelPatcher], module: torch.nn.Module) -> ModelPatcher:
    return kind(
        module,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


# what `as_family` has made of adapters that are in use
_as_others: weakref.WeakKeyDictionary[IPAdapter, dict[str, ImagePromptAdapter]] = weakref.WeakKeyDictionary()
