"""IP-Adapter on the UNet of SD1.5 and SDXL, through `patches_replace["attn2"]`.

Letters: B pictures, L latent tokens, T image tokens, I inner width, R reference sets.
"""

import copy
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import comfy.model_management
import comfy.model_patcher
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP

from ..ip_adapter import BASE_MODELS, KOLORS, Block, ImageKeyValues, ImagePrompt, image_attention
from .evaluation import KEY, Evaluation, Group, current, watch
from .masks import token_mask

ATTN2 = re.compile(r"(input|middle|output)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)\.attn2")

IN_WORDS = {  # classes of ComfyUI for UNets that have text cross-attentions, but that no IP-Adapter is made for
    "SD20": "SD2",
    "SD21UnclipL": "SD2 unCLIP",
    "SD21UnclipH": "SD2 unCLIP",
    "SDXLRefiner": "SDXL refiner",
    "SSD1B": "SSD-1B",
    "Segmind_Vega": "Segmind Vega",
    "KOALA_700M": "KOALA",
    "KOALA_1B": "KOALA",
    "SVD_img2vid": "SVD",
}

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
    for name, module in cast(Iterable[tuple[str, Any]], unet.named_modules()):
        if match := ATTN2.fullmatch(name.replace("_orig_mod.", "")):  # torch.compile puts that in
            kind, index, depth = cast(tuple[Any, str, str], match.groups())
            index = 0 if kind == "middle" else int(index)  # core calls the middle block 0
            block = Block(kind, index, int(depth), module.to_q.out_features)
            found.append(CrossAttention(block, module.to_k.in_features, module.heads))
    return found


def base_model(model: ModelPatcher) -> str:
    """The base model by its sizes, in the words of `ip_adapter.BASE_MODELS`; else what people call it, or its class."""
    attentions = cross_attentions(model.get_model_object("diffusion_model"))
    sizes = (len(attentions), attentions[0].context, model.model.adm_channels) if attentions else ()
    known: dict[tuple[int, ...], str] = {
        (base.layers, base.context_width, base.vector_width): base.name for base in (*BASE_MODELS, KOLORS)
    }
    kind = type(model.model.model_config).__name__
    return known.get(sizes) or IN_WORDS.get(kind, kind)


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

    def prompt(
        self, layer: int, group: Group, q: torch.Tensor, evaluation: Evaluation, extra_options: dict[str, Any]
    ) -> ImagePrompt:
        """What a group of rows, q (B, L, I), looks at in one layer."""
        evaluation.run.once((self, "counted"), lambda: self._warn(evaluation.run.pictures))
        key, value = self._key_value(layer, "uncond" if group.negative else "cond", q, evaluation)
        if len(key) > 1:
            rows = [frame % len(key) for frame in group.frames]
            if rows != list(range(len(key))):  # as many pictures as references: nothing to copy
                at = evaluation.run.once((*rows, q.device), lambda: torch.tensor(rows, device=q.device))
                key, value = key[at], value[at]
        return ImagePrompt(key, value, self._token_mask(group, q, evaluation, extra_options))

    def _warn(self, pictures: int) -> None:
        """Of what a batch has no pictures for: short previews of long batches are normal, so it is no error."""
        given = {
            "reference images": len(self.bank.model.layer("cond", 0)[0]),
            "negative images": len(self.bank.model.layer("uncond", 0)[0]),
            "masks": 0 if self.mask is None else len(self.mask),
        }
        for what, count in given.items():
            if 0 < pictures < count:
                logging.getLogger(__name__).warning(
                    "Apply IP-Adapter was given %d %s for a batch of %d: each picture takes the one of its number, and "
                    "the last %d are not used.",
                    count,
                    what,
                    pictures,
                    count - pictures,
                )

    def _key_value(self, layer: int, side: str, q: torch.Tensor, evaluation: Evaluation) -> Sequence[torch.Tensor]:
        """(R, T, I) each; as a rule ComfyUI has put them where the query is, in its dtype."""
        return evaluation.run.once(
            (self, layer, side, q.device, q.dtype), lambda: [t.to(q) for t in self.bank.model.layer(side, layer)]
        )

    def _token_mask(
        self, group: Group, q: torch.Tensor, evaluation: Evaluation, extra_options: dict[str, Any]
    ) -> torch.Tensor | None:
        """(1 or B, L), made once a run."""
        if self.mask is None:
            return None
        if group.tiles > 1:
            raise ValueError(
                f"Another node runs the model on {group.tiles} parts of the latent at once and does not say where they "
                "lie, so the mask of the image prompt cannot be placed: remove the mask or that node."
            )
        grid, size = tuple(extra_options["activations_shape"][-2:]), tuple(extra_options["original_shape"][-2:])
        expected = group.area[:2] if group.area else evaluation.latent_size
        if size != expected:
            raise ValueError(
                f"Another node runs the model on a part of the latent ({size[0]}x{size[1]} of "
                f"{expected[0]}x{expected[1]}), so the mask of the image prompt cannot be placed: remove the mask or "
                "that node."
            )
        return evaluation.run.once(
            (self, group.area, group.frames, grid, q.device, q.dtype), lambda: self._placed(group, q, grid, evaluation)
        )

    def _placed(self, group: Group, q: torch.Tensor, grid: tuple[int, int], evaluation: Evaluation) -> torch.Tensor:
        assert self.mask is not None
        mask = self.mask if len(self.mask) == 1 else self.mask[[frame % len(self.mask) for frame in group.frames]]
        mask = token_mask(mask, evaluation.latent_size, group.area, grid)
        if mask.shape[1] != q.shape[1]:
            raise ValueError(
                f"A block of the model has {q.shape[1]} tokens on a {grid[0]}x{grid[1]} grid, so the mask of the image "
                "prompt cannot be placed: another node merges tokens there. Remove that node or the mask."
            )
        return mask.to(q)


class CrossAttentionPatch:
    """Stands in one slot of `patches_replace["attn2"]`: the attention that was there, plus that to image prompts.

    parts: each influence with the number of this layer in its bank
    """

    def __init__(self, parts: Sequence[tuple[Influence, int]], heads: int, previous: Attention | None):
        self.parts = tuple(parts)
        self.heads = heads
        self.previous: Any = previous  # ours, or a function, or an object with more than a call
        self.joined: list[tuple[Callable[..., torch.Tensor], dict[str, Any]]] = []

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]
    ) -> torch.Tensor:
        out = self._text(q, k, v, extra_options)
        evaluation = current(extra_options)
        active = [part for part in self.parts if evaluation.within(part[0].start, part[0].end)]
        if active:
            for group in evaluation.groups(len(q), extra_options):
                rows = q[group.rows]
                prompts = [
                    influence.prompt(layer, group, rows, evaluation, extra_options) for influence, layer in active
                ]
                image_attention(rows, prompts, self.heads, out[group.rows])
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
        return out.to(q.dtype).clone(memory_format=torch.contiguous_format)

    # What ComfyUI calls on a patch must reach the one below it too.

    def to(self, device_or_dtype: Any) -> "CrossAttentionPatch":
        below = self.previous.to(device_or_dtype) if hasattr(self.previous, "to") else self.previous
        return self if below is self.previous else self._over(below)

    def models(self) -> list[ModelPatcher]:
        below = self.previous.models() if hasattr(self.previous, "models") else []
        return [*(influence.bank for influence, _ in self.parts), *below]

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
    """Patch these blocks of a model that the caller has cloned. `layers`: block -> layer of the influence's bank."""
    slots = model.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    deep = {(block.kind, block.index) for block in layers if block.depth > 0}
    for block, layer in layers.items():
        place = (block.kind, block.index)
        slot = (*place, block.depth)
        previous = slots.get(slot, slots.get(place))
        # Packs for SD1.5 name a block without its depth, and core looks at the longer name first: do as they do.
        depth = block.depth if place in deep or slot in slots else None
        parts = [(influence, layer)]
        if isinstance(previous, CrossAttentionPatch) and not previous.joined:  # one patch does for both, faster
            parts, previous = [*previous.parts, *parts], previous.previous
        patch = CrossAttentionPatch(parts, heads[block], previous)
        model.set_model_attn2_replace(patch, *place, transformer_index=depth)
    watch(model)
    if not model.get_callbacks(CallbacksMP.ON_CLONE, KEY):
        model.add_callback_with_key(CallbacksMP.ON_CLONE, KEY, _separate)


def bank(key_values: ImageKeyValues, load_device: torch.device) -> ModelPatcher:
    offload_device = comfy.model_management.unet_offload_device()
    return comfy.model_patcher.CoreModelPatcher(key_values, load_device=load_device, offload_device=offload_device)


def _separate(_: ModelPatcher, clone: ModelPatcher) -> None:
    """A clone gets patches of its own: ComfyUI shares patch objects, so what joins one would join them all."""
    slots = clone.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    for slot, patch in slots.items():
        if isinstance(patch, CrossAttentionPatch):
            slots[slot] = patch.own_copy()
