"""IP-Adapter on Stable Diffusion 3.5 Large, through `patches_replace["dit"]` and the attention of each block.

The formula is that of `ip_adapter.attention.joint_softmax`. Letters: B rows of a call, L latent tokens, I inner width.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT, RMSNorm
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import Beside, Block
from ..image_prompt import Part, Site
from ..sampling import CALLED, MODEL
from .host import SitePatch, patch_grid

OVERRIDE = "optimized_attention_override"  # key in transformer_options of what ComfyUI calls instead of its attention


class SD3:
    """The host for Stable Diffusion 3.5: see `Host`."""

    name = "sd3"

    def base_model(self, model: ModelPatcher) -> str:
        """The name of the model, by its blocks: a narrow one, or one with fewer blocks, is still called so."""
        found = _transformer(model.get_model_object("diffusion_model"))
        if found is None:
            return ""
        blocks = _picture_blocks(found)
        if not isinstance(blocks[0].attn.ln_q, RMSNorm):
            return "SD3 Medium"
        return "SD3.5 Medium" if any(block.x_block_self_attn for block in blocks) else "SD3.5 Large"

    def sites(self, model: ModelPatcher) -> list[Site]:
        found = _transformer(model.get_model_object("diffusion_model"))
        if found is None:
            return []
        return [
            Site(Block("joint", index, 0, found.hidden_size), found.num_heads, patch_size=found.patch_size)
            for index in range(len(_picture_blocks(found)))
        ]

    def paths(self, model: ModelPatcher) -> tuple[str, ...]:
        return ()  # no adapter for them has a LoRA

    def join(self, model: ModelPatcher, parts: Mapping[Site, Sequence[Part]], *, carries: bool = False) -> None:
        slots = model.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})
        for site, some in parts.items():
            slot = ("double_block", site.block.index)
            patch = JointBlockPatch.over(slots.get(slot), site, some, carries)
            model.set_model_patch_replace(patch, "dit", *slot)


def _transformer(diffusion_model: Any) -> MMDiT | None:
    found = getattr(diffusion_model, "_orig_mod", diffusion_model)  # torch.compile puts that in
    return found if isinstance(found, MMDiT) else None


def _picture_blocks(transformer: MMDiT) -> list[Any]:
    """The part of each joint block that is the picture's."""
    blocks = cast(Iterable[Any], transformer.joint_blocks)
    return [getattr(block, "_orig_mod", block).x_block for block in blocks]


class JointBlockPatch(SitePatch):
    """The joint block, or the patch that was in its place; image prompts act in the picture's part of its attention."""

    def __call__(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        options = args["transformer_options"]
        if self.joint.is_acting(options):
            override = self._attending(args["txt"].shape[1], args["img"].shape[1], options)
            args = {**args, "transformer_options": {**options, OVERRIDE: override}}  # in this block alone
        return extra["original_block"](args) if self.previous is None else self.previous(args, extra)

    def _attending(self, text: int, picture: int, options: dict[str, Any]) -> Callable[..., torch.Tensor]:
        """What takes the place of ComfyUI's attention, for so many tokens of text and of the picture."""
        other = options.get(OVERRIDE)

        def attend(
            func: Callable[..., torch.Tensor],
            q: torch.Tensor,
            k: torch.Tensor,
            v: torch.Tensor,
            *args: Any,
            **kwargs: Any,
        ) -> torch.Tensor:
            out = func(q, k, v, *args, **kwargs) if other is None else other(func, q, k, v, *args, **kwargs)
            if q.shape[1] != text + picture:  # not the attention of text and picture together
                return out
            if other is not None or out.requires_grad:
                out = out.clone()
            value = v[:, text:].flatten(2)  # its heads may be apart
            beside = Beside(key=k[:, text:], value=value, scales=self._scales(options))
            grid = patch_grid(options[CALLED], self.joint.site.patch_size)
            self.joint.add(q[:, text:], out[:, text:], options, grid, options[CALLED], beside)
            return out

        return attend

    def _scales(self, options: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The scales of the model's norms of the picture's query and key: the only weights of it that are read."""
        transformer = _transformer(options[MODEL].diffusion_model)
        assert transformer is not None
        attention = _picture_blocks(transformer)[self.joint.site.block.index].attn
        return attention.ln_q.weight, attention.ln_k.weight
