"""Keys and values of references that ComfyUI manages, made once however many image prompts use them.

Letters: R references, D and W feature widths, N positions.
"""

import weakref
from collections.abc import Hashable, Sequence
from typing import Any, Literal, cast

import comfy.model_management
import comfy.model_patcher
import torch
from comfy.model_patcher import ModelPatcher

from ...ip_adapter import (
    Constant,
    Features,
    IPAdapter,
    Keys,
    PerStep,
    Sides,
    TokenOptions,
    Tokens,
    image_tokens,
    kept_memory,
    project,
    stepping,
    working_memory,
)
from ..loading.adapter import ImagePromptAdapter
from .sampling import KEY

# How references act. "together": in one softmax over all tokens. "each": each with a softmax of its own, and all are
# added. "by picture": each in the picture of its number.
Arrangement = Literal["together", "each", "by picture"]
Factors = tuple[tuple[float, ...], tuple[float, ...]] | None  # of the references, and of the negative images


class Prepared:
    """Keys and values of the references and of the negative images. ComfyUI loads, counts and offloads them.

    tokens: how many tokens one reference has
    stepwise: whether its keys and values follow the timestep
    layer_tokens: how many of them each layer takes
    """

    def __init__(
        self, sides: Sides, adapter: ImagePromptAdapter, load_device: torch.device, tokens: int, layers: Sequence[int]
    ):
        self.sides = sides
        self.tokens = tokens
        spans = map(adapter.module.span, layers)
        self.layer_tokens = tuple(len(range(*span.indices(tokens))) for span in spans)
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            sides, load_device=load_device, offload_device=comfy.model_management.unet_offload_device()
        )
        self.stepwise = adapter.module.stepwise
        projects = any(not isinstance(keys, Constant) for keys in sides.children())
        self._adapter = adapter.patcher if projects else None
        self._sampling = adapter.sampling_patcher
        self._layers = layers

    def side(self, name: str) -> Keys:
        """The keys and values of one side. `name`: "cond" (references) or "uncond" (negative images)."""
        return self.sides.side(name)

    def adapter(self, model: Any = None) -> IPAdapter:
        """The adapter, if its weights have to be there while the model runs. model: as `own_copy` takes it"""
        assert self._adapter is not None
        return cast(IPAdapter, own_copy(self._adapter, model))

    def sampling_layer(self, number: int, model: Any = None) -> torch.nn.Module | None:
        """What of a layer has to be there while the model runs; None: nothing.

        number: of the layer, as in `sides`
        model: as `own_copy` takes it
        """
        if self._sampling is None:
            return None
        every = cast(torch.nn.ModuleDict, own_copy(self._sampling, model))
        return list(every.values())[self._layers[number]]

    @property
    def additional(self) -> list[ModelPatcher]:
        """The models, besides the keys and values, that ComfyUI has to load while the diffusion model runs."""
        return [patcher for patcher in (self._adapter, self._sampling) if patcher is not None]

    def models(self) -> list[ModelPatcher]:
        """The models that ComfyUI has to load while the diffusion model runs."""
        return [self.patcher, *self.additional]


def bring(model: ModelPatcher, additional: Sequence[ModelPatcher]) -> None:
    """Give a model additional models, each once. ComfyUI clones them with it, also for several devices."""
    known = model.get_additional_models_with_key(KEY)
    added = [patcher for patcher in dict.fromkeys(additional) if not any(map(patcher.is_clone, known))]
    if added:
        model.set_additional_models(KEY, [*known, *added])


def own_copy(patcher: ModelPatcher, model: Any) -> torch.nn.Module:
    """The module of an additional model that lies where a model does. ComfyUI clones both for each of several devices.

    model: ComfyUI's model that is called; None, or one that does not have it: the module of the patcher itself
    """
    current = getattr(model, "current_patcher", None)
    known: Sequence[ModelPatcher] = current.get_additional_models_with_key(KEY) if current is not None else ()
    return next((each.model for each in known if each.clone_base_uuid == patcher.clone_base_uuid), patcher.model)


RECENT = 128 << 20  # bytes of keys and values that an adapter keeps although nothing uses them any more

# The keys and values of each adapter that are in use or recent, so that another weight projects nothing again.
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
    arrangement: Arrangement,
    factors: Factors = None,
    dtype: torch.dtype,
    load_device: torch.device,
    text_projection: torch.nn.Module | None = None,
) -> Prepared:
    """Project the features of references and of negative images to keys and values, or find those made before.

    Args:
        cond, uncond: features by name, (R, D) or (R, N, W) each, of the references and of the negative images
        layers: numbers of the adapter's layers that act
        heads: number of attention heads in the model at each of these layers
        arrangement: "together": all references are joined, and all negative images
        factors: on the values of each reference and of each negative image, where these are joined; None: none
        dtype, load_device: those of the model that attends to them
        text_projection: a projection of the model through which the tokens go, if they do

    Raises:
        ValueError: a key or a value is NaN or infinite in `dtype`.
    """
    shared = _in_use.setdefault(adapter.module, weakref.WeakValueDictionary())
    options, through = (
        adapter.token_options,
        text_projection and (weakref.ref(text_projection), adapter.options.text_scale),
    )
    how = (options, through, arrangement, factors, dtype, load_device)
    key = (_digest(cond), _digest(uncond), *layers, "|", *heads, how)
    found = shared.get(key)
    if found is None:
        sides = _projected(adapter, cond, uncond, layers, heads, arrangement, dtype, text_projection)
        if factors is not None:
            for side, some in zip((sides.cond, sides.uncond), factors, strict=True):
                if some:  # without negative images, the tokens that a file has for none of them stay as they are
                    cast(Constant | PerStep, side).scale_values(some)
        tokens = adapter.module.count_tokens(cond) + options.zero_tokens
        found = shared[key] = Prepared(sides, adapter, load_device, tokens, layers)
    _remember(adapter, found)
    return found


def _remember(adapter: ImagePromptAdapter, used: Prepared) -> None:
    """Keep what was used for the next run: ComfyUI drops the models of a changed workflow before it runs it again."""
    recent, room = list[Prepared](), RECENT
    for each in [used, *(other for other in adapter.recent if other is not used)]:
        if (size := each.patcher.model_size()) <= room:
            recent.append(each)
            room -= size
    adapter.recent[:] = recent  # which copies of the adapter with other options share


def _digest(features: Features) -> tuple[Hashable, ...]:
    """Two checksums of each feature of each picture: of its bits and of its values. They take a fraction of a hash."""
    return tuple(
        (name, tensor.shape, tensor.dtype, *_sums(_bits(tensor)), *_sums(tensor)) for name, tensor in features.items()
    )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    whole = tensor.contiguous().flatten(1)
    return whole.view(torch.int64 if whole.shape[1] * whole.itemsize % 8 == 0 else torch.uint8)


def _sums(tensor: torch.Tensor) -> list[float]:
    return tensor.flatten(1).sum(1).tolist()


def _projected(
    adapter: ImagePromptAdapter,
    cond: Features,
    uncond: Features,
    layers: Sequence[int],
    heads: Sequence[int],
    arrangement: Arrangement,
    dtype: torch.dtype,
    text_projection: torch.nn.Module | None,
) -> Sides:
    """Project on the device of the adapter. The result is put on ComfyUI's offload device, to be loaded from there."""
    module = adapter.module
    device, keep_on = adapter.patcher.load_device, comfy.model_management.unet_offload_device()
    needed = working_memory(module, cond, uncond)
    if keep_on == device:
        needed += kept_memory(module, cond, uncond, layers, dtype, adapter.token_options.zero_tokens)
    comfy.model_management.load_models_gpu([adapter.patcher], memory_required=needed)
    try:
        if module.stepwise:
            if adapter.token_options != TokenOptions():
                raise ValueError(
                    f"{module.title} makes its tokens at every step, and they can only be as it was trained."
                )
            joined = arrangement == "together"
            return stepping(
                module, cond, uncond, layers, heads, joined=joined, dtype=dtype, device=device, keep_on=keep_on
            )
        tokens = image_tokens(module, cond, uncond, adapter.token_options, device=device, keep_on=keep_on)
        if text_projection is not None:
            tokens = _through(text_projection, tokens, adapter.options.text_scale, device)
        tokens = tokens.together() if arrangement == "together" else tokens
        by_window = arrangement == "by picture"
        return project(module, tokens, layers, heads, dtype=dtype, device=device, keep_on=keep_on, by_window=by_window)
    finally:  # sampling needs none of these weights, or loads them itself: their room is the model's
        comfy.model_management.unload_model_and_clones(adapter.patcher)


def _through(projection: Any, tokens: Tokens, scale: float, device: torch.device) -> Tokens:
    """Tokens that a model's own projection of text has turned into its context, in fp32.

    scale: factor on its weight and bias
    """
    weight = projection.weight.to(device, torch.float32) * scale
    bias = None if projection.bias is None else projection.bias.to(device, torch.float32) * scale
    cond, uncond = (
        torch.nn.functional.linear(each.to(device), weight, bias).to(each.device)
        for each in (tokens.cond, tokens.uncond)
    )
    return Tokens(cond, uncond)
