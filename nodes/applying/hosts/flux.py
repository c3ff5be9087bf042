"""IP-Adapter on Flux.1, through `patches_replace["dit"]`: after a double block, with the query of its picture tokens.

    picture tokens = double block(...) + weight * attend(q, K_image, V_image)

The formula is that of XLabs-AI/x-flux: no gate, no output projection, and the query before its rotary embedding.

Letters: B rows of a call, L tokens of the picture, I inner width, H heads, D = I / H.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import comfy.ldm.flux.model
import torch
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import BASE_MODELS, Block
from ..image_prompt import Part, Site
from ..masks import Grid
from ..sampling import CALLED
from .host import SitePatch

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
        flux = _flux(model)
        if flux is None:
            return ""
        sizes = flux.params.context_in_dim, flux.params.vec_in_dim
        known = {(base.context_width, base.vector_width): base.name for base in BASE_MODELS if base.host == self.name}
        kind = type(model.model.model_config).__name__
        return known.get(sizes) or IN_WORDS.get(kind, kind)

    def sites(self, model: ModelPatcher) -> list[Site]:
        flux = _flux(model)
        blocks = cast(Iterable[Any], [] if flux is None else flux.double_blocks)
        return [
            Site(Block("double", index, 0, block.hidden_size), block.num_heads, "block")
            for index, block in enumerate(blocks)
        ]

    def join(self, model: ModelPatcher, parts: Mapping[Site, Sequence[Part]], *, carries: bool = False) -> None:
        slots = model.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})
        for site, some in parts.items():
            slot = ("double_block", site.block.index)
            patch = DoubleBlockPatch.over(slots.get(slot), site, some, carries)
            model.set_model_patch_replace(patch, "dit", *slot)


def _flux(model: ModelPatcher) -> comfy.ldm.flux.model.Flux | None:
    found = model.get_model_object("diffusion_model")
    found = getattr(found, "_orig_mod", found)  # torch.compile puts that in
    return found if isinstance(found, comfy.ldm.flux.model.Flux) else None


class DoubleBlockPatch(SitePatch):
    """The double block, or the patch that was in its place, plus the attention to image prompts."""

    def __call__(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        options = args["transformer_options"]
        if not self.joint.is_acting(options):
            return self._block(args, extra)
        query = PictureQuery()
        patches = options.get("patches", {})
        patches = {**patches, "attn1_patch": [*patches.get("attn1_patch", ()), query]}  # those of this call alone
        out = self._block({**args, "transformer_options": {**options, "patches": patches}}, extra)
        if query.found is None:  # another node skips the block
            return out
        grid = _grid(options)
        count = grid.height * grid.width  # the tokens of Kontext's pictures follow
        picture = out["img"]
        whole = count == picture.shape[1]
        own = picture.contiguous() if whole else picture[:, :count].contiguous()
        self.joint.add(query.found[:, :count].to(picture.dtype), own, options, grid, options[CALLED])
        return {**out, "img": own if whole else torch.cat((own, picture[:, count:]), 1)}

    def _block(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        return extra["original_block"](args) if self.previous is None else self.previous(args, extra)


class PictureQuery:
    """A patch for `attn1_patch` in one call of one block, which notes the picture's query, (B, L, H, D)."""

    def __init__(self) -> None:
        self.found: torch.Tensor | None = None

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, extra_options: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        start, end = extra_options["img_slice"]
        self.found = q[:, :, start:end].transpose(1, 2)  # a view of (B, H, tokens of text and picture, D)
        return {}


def _grid(options: dict[str, Any]) -> Grid:
    """The grid of the picture's tokens, of 2x2 latent pixels each."""
    height, width = options[CALLED][-2:]
    padding = height % 2, width % 2
    return Grid((height + padding[0]) // 2, (width + padding[1]) // 2, padding)
