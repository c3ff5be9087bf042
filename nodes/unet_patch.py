"""IP-Adapter on the UNet of SD1.5 and SDXL, through `patches_replace["attn2"]`.

Letters: B pictures, L latent tokens, T image tokens, I inner width, R reference sets.
"""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP

from ..ip_adapter import Block, ImageKeyValues, image_attention
from .evaluation import KEY, Area, Evaluation, current, watch
from .masks import token_mask

ATTN2 = re.compile(r"(input|middle|output)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)\.attn2")

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]], torch.Tensor]


@dataclass(frozen=True)
class CrossAttention:
    """A text cross-attention of the UNet: where it is, the width of its context, its heads."""

    block: Block
    context: int
    heads: int


def cross_attentions(unet: torch.nn.Module) -> list[CrossAttention]:
    """Every text cross-attention of a UNet; empty for another architecture."""
    found = []
    for name, module in unet.named_modules():
        if match := ATTN2.fullmatch(name):
            kind, index, depth = match.groups()
            index = 0 if kind == "middle" else int(index)  # core calls the middle block 0
            block = Block(kind, index, int(depth), module.to_q.out_features)
            found.append(CrossAttention(block, module.to_k.in_features, module.heads))
    return found


@dataclass(frozen=True, eq=False)
class Influence:
    """One applied image prompt: what it adds, when, and where. All its layers share it, and nobody changes it.

    bank: holds the ImageKeyValues, so that ComfyUI loads, counts and offloads them
    start, end: part of sampling, 0..1
    mask: (N, H, W) of the picture, or None
    """

    bank: ModelPatcher
    start: float = 0.0
    end: float = 1.0
    mask: torch.Tensor | None = None

    def key_value(
        self, layer: int, negative: bool, like: torch.Tensor, evaluation: Evaluation
    ) -> Sequence[torch.Tensor]:
        """Key and value (R, T, I) on the query's device and in its dtype, where ComfyUI has put them as a rule."""
        side = "uncond" if negative else "cond"
        pair: Sequence[torch.Tensor] = self.bank.model.layer(side, layer)
        if pair[0].device == like.device and pair[0].dtype == like.dtype:
            return pair
        key = (self, side, layer, like.device, like.dtype)
        return evaluation.run.once(key, lambda: [tensor.to(like) for tensor in pair])

    def token_mask(
        self, q: torch.Tensor, area: Area | None, grid: tuple[int, int], frames: list[int], evaluation: Evaluation
    ) -> torch.Tensor:
        """(1 or B, L) for the pictures `frames` of the batch, made once a run."""
        assert self.mask is not None
        mask = self.mask if len(self.mask) == 1 else self.mask[[frame % len(self.mask) for frame in frames]]
        mask = token_mask(mask, evaluation.latent_size, area, grid)
        if mask.shape[1] != q.shape[1]:
            raise ValueError(
                f"A block of the model has {q.shape[1]} tokens on a {grid[0]}x{grid[1]} grid, so the mask of the image "
                "prompt cannot be placed: another node merges tokens there. Remove that node or the mask."
            )
        return mask.to(q)


class CrossAttentionPatch:
    """Stands in one slot of `patches_replace["attn2"]`: the attention that was there, plus that to the image prompt."""

    def __init__(self, influence: Influence, layer: int, heads: int, previous: Attention | None):
        self.influence = influence
        self.layer = layer
        self.heads = heads
        self.previous = previous
        self.joined: list[tuple[Callable[..., torch.Tensor], dict[str, Any]]] = []

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]
    ) -> torch.Tensor:
        out = self._text(q, k, v, extra_options)
        evaluation = current(extra_options)
        if evaluation.within(self.influence.start, self.influence.end):
            self._add_image(q, out, evaluation, extra_options)
        for callback, options in self.joined:
            if options.get("sigma_end", 0.0) <= evaluation.sigma <= options.get("sigma_start", float("inf")):
                out = out + callback(out, q, k, v, extra_options, **options)
        return out

    def _text(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]) -> torch.Tensor:
        """What was there before: (B, L, I), contiguous, and ours to write to."""
        if self.previous is None:
            precision = extra_options["attn_precision"]
            out = optimized_attention(q, k, v, self.heads, attn_precision=precision, transformer_options=extra_options)
            ours = "optimized_attention_override" not in extra_options
        else:
            out = self.previous(q, k, v, extra_options)
            ours = isinstance(self.previous, CrossAttentionPatch)
        if ours and not out.requires_grad:
            return out.contiguous()
        return out.clone(memory_format=torch.contiguous_format)

    def _add_image(
        self, q: torch.Tensor, out: torch.Tensor, evaluation: Evaluation, extra_options: dict[str, Any]
    ) -> None:
        """Rows come in chunks, one for each condition; neighbours that take the same tokens and mask go together."""
        conditions = extra_options["cond_or_uncond"]
        rows = len(q) // len(conditions)
        chunks = [(evaluation.negative[index], self._area(evaluation, uuid, index))
                  for uuid, index in zip(extra_options.get("uuids") or conditions, conditions)]
        first = 0
        for last in range(1, len(chunks) + 1):
            if last == len(chunks) or chunks[last] != chunks[first]:
                part = slice(first * rows, last * rows)
                frames = _frames(extra_options, rows) * (last - first)
                self._add_group(q[part], out[part], *chunks[first], frames, evaluation, extra_options)
                first = last

    def _area(self, evaluation: Evaluation, uuid: Any, index: int) -> Area | None:
        return None if self.influence.mask is None else evaluation.areas.get((uuid, index))

    def _add_group(self, q: torch.Tensor, out: torch.Tensor, negative: bool, area: Area | None, frames: list[int],
                   evaluation: Evaluation, extra_options: dict[str, Any]) -> None:
        influence = self.influence
        key, value = influence.key_value(self.layer, negative, q, evaluation)
        if 1 < len(key) and frames != list(range(len(key))):
            rows = [frame % len(key) for frame in frames]
            key, value = key[rows], value[rows]
        mask = None
        if influence.mask is not None:
            grid: tuple[int, int] = tuple(extra_options["activations_shape"][-2:])
            mask = evaluation.run.once(
                (influence, area, grid, tuple(frames), q.device, q.dtype),
                lambda: influence.token_mask(q, area, grid, frames, evaluation),
            )
        image_attention(q, key, value, self.heads, out, mask)

    # What ComfyUI calls on a patch must reach the one below it too.

    def to(self, device_or_dtype: Any) -> "CrossAttentionPatch":
        below = self.previous.to(device_or_dtype) if hasattr(self.previous, "to") else self.previous
        return self if below is self.previous else self._over(below)

    def models(self) -> list[ModelPatcher]:
        below = self.previous.models() if hasattr(self.previous, "models") else []
        return [self.influence.bank, *below]

    def cleanup(self) -> None:
        if hasattr(self.previous, "cleanup"):
            self.previous.cleanup()

    def add(self, callback: Callable[..., torch.Tensor], **options: Any) -> None:
        """The call by which IPAdapter_plus and its relatives join an attention that is replaced already."""
        self.joined.append((callback, options))

    def own_copy(self) -> "CrossAttentionPatch":
        below = self.previous
        return self._over(below.own_copy() if isinstance(below, CrossAttentionPatch) else below)

    def _over(self, previous: Attention | None) -> "CrossAttentionPatch":
        patch = copy.copy(self)
        patch.previous = previous
        patch.joined = list(self.joined)
        return patch


def install(model: ModelPatcher, influence: Influence, layers: dict[Block, int], heads: dict[Block, int]) -> None:
    """Patch every block of a model that the caller has cloned. `layers`: block -> layer of the adapter."""
    slots = model.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    deep = {(block.kind, block.index) for block in layers if block.depth > 0}
    for block, layer in layers.items():
        place = (block.kind, block.index)
        slot = (*place, block.depth)
        previous = slots.get(slot, slots.get(place))
        # Packs for SD1.5 name a block without its depth, and core looks at the longer name first: do as they do.
        depth = block.depth if place in deep or slot in slots else None
        patch = CrossAttentionPatch(influence, layer, heads[block], previous)
        model.set_model_attn2_replace(patch, *place, transformer_index=depth)
    watch(model)
    if not model.get_callbacks(CallbacksMP.ON_CLONE, KEY):
        model.add_callback_with_key(CallbacksMP.ON_CLONE, KEY, _separate)


def bank(key_values: ImageKeyValues, load_device: torch.device) -> ModelPatcher:
    offload_device = comfy.model_management.unet_offload_device()
    patcher = comfy.model_patcher.CoreModelPatcher(key_values, load_device=load_device, offload_device=offload_device)
    return patcher


def _separate(_: ModelPatcher, clone: ModelPatcher) -> None:
    """A clone gets patches of its own: ComfyUI shares patch objects, so what joins one would join them all."""
    slots = clone.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    for slot, patch in slots.items():
        if isinstance(patch, CrossAttentionPatch):
            slots[slot] = patch.own_copy()


def _frames(extra_options: dict[str, Any], rows: int) -> list[int]:
    """Which pictures of the batch the rows of one condition are; a context window takes some of them."""
    window = extra_options.get("context_window")
    if window is None or window.dim != 0:
        return list(range(rows))
    frames = list(window.index_list)
    anchor = getattr(window, "causal_anchor_index", None)
    return frames if anchor is None or anchor < 0 else [anchor, *frames]
