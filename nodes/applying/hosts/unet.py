"""IP-Adapter on the UNets of SD1.5, SDXL and Kolors, through `patches_replace["attn2"]`.

The formula is that of `ip_adapter.attention`. Letters: B rows of a call, L latent tokens, I inner width.
"""

import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import BASE_MODELS, Block
from ....ip_adapter.layers import in_file_order
from ..image_prompt import Part, Site
from ..joint import Joint
from ..masks import Grid
from ..sampling import current
from .host import SitePatch

ATTN2 = re.compile(r"(input|middle|output)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)\.attn2")

IN_WORDS = {  # ComfyUI's class -> name, for UNets that have text cross-attentions but no IP-Adapter here
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


class UNet:
    """The host for UNets with text cross-attentions: see `Host`."""

    name = "unet"

    def base_model(self, model: ModelPatcher) -> str:
        """The name of the model, by its sizes; for others what people call it, or its class in ComfyUI."""
        attentions = cross_attentions(model.get_model_object("diffusion_model"))
        if not attentions:
            return ""
        _, module = attentions[0]
        sizes = len(attentions), module.to_k.in_features, model.model.adm_channels
        known: dict[tuple[int, ...], str] = {
            (base.layers, base.context_width, base.vector_width): base.name
            for base in BASE_MODELS
            if base.host == self.name
        }
        kind = type(model.model.model_config).__name__
        return known.get(sizes) or IN_WORDS.get(kind, kind)

    def sites(self, model: ModelPatcher) -> list[Site]:
        attentions = cross_attentions(model.get_model_object("diffusion_model"))
        return [Site(block, module.heads) for block, module in attentions]

    def paths(self, model: ModelPatcher) -> list[str]:
        """Those of all attentions in transformer blocks."""
        paths = {block: path for block, _, path in _named(model.get_model_object("diffusion_model"))}
        return [f"{paths[block]}.{kind}" for block in in_file_order(paths) for kind in ("attn1", "attn2")]

    def join(self, model: ModelPatcher, parts: Mapping[Site, Sequence[Part]], *, carries: bool = False) -> None:
        slots = model.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
        deep = {(site.block.kind, site.block.index) for site in self.sites(model) if site.block.depth > 0}
        for site, some in parts.items():
            place = (site.block.kind, site.block.index)
            slot = (*place, site.block.depth)
            previous = slots.get(slot, slots.get(place))
            # Packs for SD1.5 leave the depth out of a slot's name, and core looks for the longer name first: do alike.
            depth = site.block.depth if place in deep or slot in slots else None
            patch = CrossAttentionPatch.over(previous, site, some, carries)
            model.set_model_attn2_replace(patch, *place, transformer_index=depth)


_found: weakref.WeakKeyDictionary[torch.nn.Module, list[tuple[Block, Any]]] = weakref.WeakKeyDictionary()


def cross_attentions(unet: torch.nn.Module) -> list[tuple[Block, Any]]:
    """Every text cross-attention of a UNet, with its module. The list is empty for other architectures."""
    if unet not in _found:  # a walk over thousands of modules
        _found[unet] = _walk(unet)
    return _found[unet]


def _walk(unet: torch.nn.Module) -> list[tuple[Block, Any]]:
    return [(block, module) for block, module, _ in _named(unet)]


def _named(unet: torch.nn.Module) -> Iterator[tuple[Block, Any, str]]:
    """Every text cross-attention of a UNet, with its module and the path of the transformer block that it is in."""
    for path, module in cast(Iterable[tuple[str, Any]], unet.named_modules()):
        name = path.replace("_orig_mod.", "")  # torch.compile adds that
        if match := ATTN2.fullmatch(name):
            kind, index, depth = cast(tuple[Any, str, str], match.groups())
            index = 0 if kind == "middle" else int(index)  # core calls the middle block 0
            yield Block(kind, index, int(depth), module.to_q.out_features), module, name.removesuffix(".attn2")


class CrossAttentionPatch(SitePatch):
    """The text attention, or the patch that was in its place, plus the attention to image prompts."""

    def __init__(self, joint: Joint, previous: Any):
        super().__init__(joint, previous)
        self.joined: list[tuple[Callable[..., torch.Tensor], dict[str, Any]]] = []

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]
    ) -> torch.Tensor:
        out = self._text(q, k, v, extra_options)
        height, width = extra_options["activations_shape"][-2:]
        self.joint.add(q, out, extra_options, Grid(height, width), extra_options["original_shape"])
        for callback, options in self.joined:
            sigma = current(extra_options).sigma
            if options.get("sigma_end", 0.0) <= sigma <= options.get("sigma_start", float("inf")):
                out = out + callback(out, q, k, v, extra_options, **options)
        return out

    def _text(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]) -> torch.Tensor:
        """The text attention or the previous patch: (B, L, I), contiguous, and safe to write to."""
        if self.previous is None:
            precision, heads = extra_options["attn_precision"], self.joint.heads
            out = optimized_attention(q, k, v, heads, attn_precision=precision, transformer_options=extra_options)
            ours = "optimized_attention_override" not in extra_options
        else:
            out = self.previous(q, k, v, extra_options)
            ours = isinstance(self.previous, CrossAttentionPatch)
        if ours and not out.requires_grad:
            return out.contiguous()
        return out.to(q.dtype).clone(memory_format=torch.contiguous_format)

    def add(self, callback: Callable[..., torch.Tensor], **options: Any) -> None:
        """Add a callback. IPAdapter_plus and packs like it call this if an attention has been replaced already."""
        self.joined.append((callback, options))

    @property
    def is_open(self) -> bool:
        return not self.joined

    def _with(self, previous: Any) -> "CrossAttentionPatch":
        patch = super()._with(previous)
        patch.joined = list(self.joined)
        return patch
