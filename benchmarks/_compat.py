"""What nodes of IPAdapter_plus are compared with: ours that act in the same layers, and patches that project.

All act on a UNet that does little else. Letters: N references, T tokens of one, B rows of a call, C width of a layer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.ldm.modules.attention
import comfy.ops
import torch
from _files import published
from _unets import PLACES, WIDTHS, hollow_unet, sample
from _workloads import run
from comfy.model_patcher import ModelPatcher
from torch.nn import functional as F

from image_prompt.clip_vision import load_encoder
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.encoding.encoder import ImageEncoder

WITHOUT_MIDDLE = "1, 0, 1"  # weights of the input blocks, the middle and the output blocks
WEIGHT = 0.8
ENCODER = {"vision_config": '{"heads": 4, "activation": "quick_gelu", "name": "small CLIP"}'}
CLASSES = {row.id: node_class(row, "") for row in NODES}


@dataclass(frozen=True)
class Compared:
    """One comparison. pictures: of the batch, each with a reference of its own where it is more than one."""

    id: str
    base: str
    size: int  # side of the latent
    tokens: int
    pictures: int = 1

    def models(self) -> dict[str, ModelPatcher]:
        """The model without an adapter, with the node, with nodes of ours, twice, and with a patch that projects."""
        bare = hollow_unet(self.base, torch.float32)
        adapter, encoder = _adapter(self.base, self.tokens), _encoder()
        image = torch.rand(self.pictures, 512, 512, 3)
        given = {"ipadapter": adapter, "image": image, "clip_vision": encoder, "weight": WEIGHT}
        node, tiles, *masks = call(self.id, model=bare, **given)
        parts = list(zip(tiles.split(1), masks[0].split(1), strict=True)) if masks else [(image, None)]
        alike = partial(_ours, bare, adapter, encoder, parts, self.pictures > 1)
        projecting = _projecting(bare, self.base, adapter, self.tokens, self.pictures, [mask for _, mask in parts])
        return {"bare": bare, "node": node, "ours": alike(), "again": alike(), "projecting": projecting}

    def evaluations(self, steps: int) -> dict[str, Callable[[], torch.Tensor]]:
        options = {"base": self.base, "size": self.size, "steps": steps, "words": 1, "pictures": self.pictures}
        return {name: partial(sample, model, **options) for name, model in self.models().items()}


def call(id: str, **inputs: Any) -> tuple[Any, ...]:
    """The outputs of a node of IPAdapter_plus. Inputs that are not given have their defaults."""
    node = CLASSES[id]
    left = {each.name: each.default for each in node.row.inputs if not each.optional and not each.is_socket}
    return getattr(node(), node.row.method.__name__)(**{**left, **inputs})


def _adapter(base: str, tokens: int) -> dict[str, dict[str, torch.Tensor]]:
    """A base adapter for 4 tokens, a plus adapter for 16; published widths of the layers, a small projection."""
    context = WIDTHS[base][0]
    projection = published.base(context, 24) if tokens == 4 else published.resampler(context, 32, depth=1)
    widths = [width for *_, width, _ in PLACES[base]]
    return published.nested(published.fill(published.adapter(projection, widths, context), 5))


def _encoder() -> ImageEncoder:
    tensors = published.fill(published.encoder(32, 2, 64, 24, 8, 32), 7)
    module = load_encoder(tensors, metadata=ENCODER, ops=comfy.ops.disable_weight_init, dtype=torch.float32)
    return ImageEncoder(module, torch.device("cpu"))


def _ours(
    model: ModelPatcher,
    adapter: Any,
    encoder: ImageEncoder,
    parts: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
    by_picture: bool,
) -> ModelPatcher:
    """The model with a reference of our nodes for each image with its mask."""
    layers = run("ImagePromptLayerWeights", preset="values", values=WITHOUT_MIDDLE)[0]
    references = {}
    for number, (image, mask) in enumerate(parts):
        features = run("ImagePromptEncode", clip_vision=encoder, image=image)[0]
        options = {"layer_weights": layers, "weight": WEIGHT, **({} if mask is None else {"mask": mask})}
        combining = {"combining": "one per image"} if by_picture else {}
        references[f"reference_{number}"] = run("ImagePromptReference", features=features, **options, **combining)[0]
    return run("ImagePromptApplyReferences", model=model, adapter=adapter, references=references)[0]


def _projecting(
    model: ModelPatcher,
    base: str,
    adapter: Mapping[str, Mapping[str, torch.Tensor]],
    tokens: int,
    pictures: int,
    masks: Sequence[torch.Tensor | None],
) -> ModelPatcher:
    """The model with a patch in each layer but those of the middle, which projects at every step."""
    patched = model.clone()
    shape = (2, pictures, tokens, WIDTHS[base][0])
    references = [(torch.randn(shape), mask) for mask in masks]
    for number, (kind, index, depth, _, _) in enumerate(PLACES[base]):
        weights = [adapter["ip_adapter"][f"{2 * number + 1}.to_{letter}_ip.weight"] for letter in "kv"]
        if kind != "middle":
            patched.set_model_attn2_replace(Projecting(weights, references), kind, index, transformer_index=depth)
    return patched


class Projecting:
    """A patch that projects image tokens to keys and values at every call, as known packs do.

    weights: of the keys and of the values, (C, context)
    references: tokens (2 sides, N, T, context), of one reference for all pictures or of one for each, with its mask
    """

    def __init__(self, weights: Sequence[torch.Tensor], references: Sequence[tuple[torch.Tensor, torch.Tensor | None]]):
        self.weights, self.references = weights, references

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        attention, heads = comfy.ldm.modules.attention.optimized_attention, options["n_heads"]
        out = attention(q, k, v, heads)
        rows = len(q) // len(options["cond_or_uncond"])
        for tokens, mask in self.references:
            key, value = (self._projected(weight, tokens, rows, options["cond_or_uncond"]) for weight in self.weights)
            image = attention(q, key, value, heads) * WEIGHT
            out = out + (image if mask is None else image * _spread(mask, q, options["activations_shape"][-2:]))
        return out

    def _projected(self, weight: torch.Tensor, tokens: torch.Tensor, rows: int, sides: Sequence[int]) -> torch.Tensor:
        """(B, T, C): the tokens of both sides, in the order of the batch, for as many rows as it has."""
        both = F.linear(tokens, weight)
        return torch.cat([both[side].repeat(rows // tokens.shape[1], 1, 1) for side in sides])


def _spread(mask: torch.Tensor, q: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    """(B, L, C): a mask on the tokens of a layer, repeated over its rows and its width."""
    small = F.interpolate(mask[None], tuple(grid), mode="bilinear").to(q)
    return small.view(1, -1, 1).repeat(len(q), 1, q.shape[2])
