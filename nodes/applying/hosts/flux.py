"""IP-Adapter on Flux.1, Chroma and Chroma Radiance, through `patches_replace["dit"]`, with the query of a block.

The query is that before its rotary embedding. Adapters act in one of three places of a block:

    "attention": attention = attend(q, K, V) + weight * attend(q, K_image, V_image), before the output projection
    "picture": so, for the tokens of the picture alone
    "block": picture tokens = block(...) + weight * attend(q, K_image, V_image), without gate and output projection

A double block keeps the picture's tokens apart from those of the text, and they alone change. In the attention of a
single block all tokens do, those of the text too. Sources: XLabs-AI/x-flux, Shakker-Labs/ComfyUI-IPAdapter-Flux,
Tencent/InstantCharacter.

Letters: B rows of a call, L tokens of text and picture, I inner width, H heads, D = I / H.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import comfy.ldm.chroma.model
import comfy.ldm.flux.model
import torch
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import BASE_MODELS, NOTHING, Acts, Beside, Block
from ....ip_adapter.families.kinds import Kind
from ..image_prompt import Part, Site
from ..sampling import CALLED, MODEL
from .host import SitePatch, patch_grid

IN_WORDS = {  # ComfyUI's class -> name, for models that are built like Flux.1 but have no IP-Adapter here
    "Flux2": "Flux.2",
    "FluxSchnell": "Ovis-Image",  # ComfyUI has no class of its own for it; schnell itself is known by its sizes
    "LongCatImage": "LongCat-Image",
}


class Flux:
    """The host for Flux.1 and models that are built like it: see `Host`."""

    name = "flux"

    def base_model(self, model: ModelPatcher) -> str:
        """The name of the model, by the widths of its text inputs: a Flux with fewer blocks is a Flux too."""
        transformer = _transformer(model)
        if transformer is None:
            return ""
        is_chroma = isinstance(transformer, comfy.ldm.chroma.model.Chroma)  # its class has a width that it does not use
        sizes = transformer.params.context_in_dim, 0 if is_chroma else transformer.params.vec_in_dim
        known = {(base.context_width, base.vector_width): base.name for base in BASE_MODELS if base.host == self.name}
        kind = type(model.model.model_config).__name__
        return known.get(sizes) or IN_WORDS.get(kind, kind)

    def sites(self, model: ModelPatcher) -> list[Site]:
        transformer = _transformer(model)
        if transformer is None:
            return []
        blocks: dict[Kind, Any] = {"double": transformer.double_blocks, "single": transformer.single_blocks}
        return [
            Site(Block(kind, index, 0, block.hidden_size), block.num_heads, acts, transformer.patch_size)
            for kind, some in blocks.items()
            for index, block in enumerate(some)
            for acts in PATCHES
        ]

    def paths(self, model: ModelPatcher) -> tuple[str, ...]:
        return ()  # no adapter for them has a LoRA

    def join(self, model: ModelPatcher, parts: Mapping[Site, Sequence[Part]], *, carries: bool = False) -> None:
        for site, some in parts.items():
            slots = model.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})
            slot = (f"{site.block.kind}_block", site.block.index)
            patch = PATCHES[site.acts].over(slots.get(slot), site, some, carries)
            model.set_model_patch_replace(patch, "dit", *slot)


def _transformer(model: ModelPatcher) -> comfy.ldm.flux.model.Flux | comfy.ldm.chroma.model.Chroma | None:
    found = model.get_model_object("diffusion_model")
    found = getattr(found, "_orig_mod", found)  # torch.compile puts that in
    return found if isinstance(found, comfy.ldm.flux.model.Flux | comfy.ldm.chroma.model.Chroma) else None


class Query:
    """A patch for `attn1_patch` in one call of one block, which notes the query as other nodes leave it.

    found: (B, L, H, D), a view; None: another node skips the block
    text: how many tokens of text come before those of the picture
    """

    def __init__(self) -> None:
        self.found: torch.Tensor | None = None
        self.text = 0

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, extra_options: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        self.text, _end = extra_options["img_slice"]
        self.found = q.transpose(1, 2)
        return {}


class FluxPatch(SitePatch, ABC):
    """A block, or the patch that was in its place, plus the attention to image prompts."""

    def __call__(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        if self.joint.is_acting(args["transformer_options"]):
            return self._acting(args, extra)
        return self._block(args, extra)

    @abstractmethod
    def _acting(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        """What it gives in a step in which image prompts act."""

    def _block(self, args: dict[str, Any], extra: dict[str, Any], **patches: Any) -> dict[str, Any]:
        """The block without the image prompts. patches: one of each kind, for this call alone"""
        options = args["transformer_options"]
        known = options.get("patches", {})
        known = known | {kind: [*known.get(kind, ()), patch] for kind, patch in patches.items()}
        args = {**args, "transformer_options": {**options, "patches": known}} if patches else args
        return extra["original_block"](args) if self.previous is None else self.previous(args, extra)

    def _add(
        self,
        query: Query,
        out: torch.Tensor,
        options: dict[str, Any],
        first: int,
        before: int,
        beside: Beside = NOTHING,
    ) -> None:
        """Add the attention to image prompts to (B, L, I) in place, of which the tokens of other pictures may be last.

        first: where in the query the tokens begin
        before: how many of them are of text
        beside: what else the block offers
        """
        grid = patch_grid(options[CALLED], self.joint.site.patch_size, before)
        count = grid.before + grid.height * grid.width  # the tokens of Kontext's pictures follow
        assert query.found is not None
        q = query.found[:, first : first + count].to(out.dtype)
        self.joint.add(q, out[:, :count], options, grid, options[CALLED], beside)

    @property
    def is_single(self) -> bool:
        return self.joint.site.block.kind == "single"


class AttentionPatch(FluxPatch):
    """Adds to the result of the attention, before the block's output projection."""

    def _acting(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        query = Query()
        return self._block(args, extra, attn1_patch=query, attn1_output_patch=partial(self._added, query))

    def _added(self, query: Query, out: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        out = _safe(out, options)
        first = 0 if self.is_single else query.text
        self._add(query, out[:, first:], options, first, query.text - first)
        return out


class PicturePatch(AttentionPatch):
    """Adds to the picture's part of the result of the attention."""

    def _added(self, query: Query, out: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        out = _safe(out, options)
        beside = Beside(scales=(self._scale(options), None))
        self._add(query, out[:, query.text :], options, query.text, 0, beside)
        return out

    def _scale(self, options: dict[str, Any]) -> torch.Tensor:
        """The scale of the model's norm of the picture's query: the only weight of it that is read."""
        transformer, index = options[MODEL].diffusion_model, self.joint.site.block.index
        blocks = transformer.single_blocks if self.is_single else transformer.double_blocks
        block = getattr(blocks[index], "_orig_mod", blocks[index])  # torch.compile puts that in
        return (block if self.is_single else block.img_attn).norm.query_norm.weight


class BlockPatch(FluxPatch):
    """Adds to the picture's tokens after the block."""

    def _acting(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        query = Query()
        out = self._block(args, extra, attn1_patch=query)
        if query.found is not None:
            tokens = out["img"][:, query.text :] if self.is_single else out["img"]
            self._add(query, tokens, args["transformer_options"], query.text, 0)
        return out


PATCHES: Mapping[Acts, type[FluxPatch]] = {
    "attention": AttentionPatch,
    "picture": PicturePatch,
    "block": BlockPatch,
}


def _safe(out: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
    """The result of an attention that may be written to: what other nodes return is theirs."""
    ours = len(options["patches"]["attn1_output_patch"]) == 1 and "optimized_attention_override" not in options
    if ours and out.stride(-1) == 1 and not out.requires_grad:
        return out
    return out.clone(memory_format=torch.contiguous_format)
