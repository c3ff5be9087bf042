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
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import ModelSamplingDiscrete
from torch.nn import functional as F

from image_prompt.clip_vision import load_encoder
from image_prompt.nodes.applying.masks import Grid
from image_prompt.nodes.applying.sampling import KEY, Evaluation, Run
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.encoding.encoder import ImageEncoder

from .files import published
from .unets import PLACES, WIDTHS, hollow_unet
from .workloads import run

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

    def additions(self) -> dict[str, Callable[[], None]]:
        """What the node, nodes of ours, the same again, and patches that project add in one evaluation of a model."""
        adapter, encoder = _adapter(self.base, self.tokens), _encoder()
        bare = hollow_unet(self.base, torch.float32)
        image = torch.rand(self.pictures, 512, 512, 3)
        given = {"ipadapter": adapter, "image": image, "clip_vision": encoder, "weight": WEIGHT}
        node, tiles, *masks = call(self.id, model=bare, **given)
        parts = list(zip(tiles.split(1), masks[0].split(1), strict=True)) if masks else [(image, None)]
        where = _masks(node) if masks else [None]
        acting = [(picture, mask) for (picture, _), mask in zip(parts, where, strict=True)]
        alike = [_ours(bare, adapter, encoder, acting, self.pictures > 1) for _ in ("ours", "again")]
        projecting = _projecting(self.base, adapter, self.tokens, self.pictures, where)
        patches = {"node": _patches(node), "ours": _patches(alike[0]), "again": _patches(alike[1])}
        layers = _Layers(self)
        return {name: partial(layers.add, each) for name, each in {**patches, "projecting": projecting}.items()}


class _Layers:
    """The cross-attentions of a model, of which only what patches add is computed."""

    def __init__(self, compared: Compared):
        self.rows, self.latent, self.pictures = 2 * compared.pictures, (compared.size,) * 2, compared.pictures
        shapes = [
            (place, grid, (self.rows, grid**2, width)) for place, width, grid in _places(compared.base, self.latent[0])
        ]
        self.layers = [(place, grid, torch.randn(shape), torch.zeros(shape)) for place, grid, shape in shapes]
        self.sampling = ModelSamplingDiscrete()
        self.sigma = torch.full((compared.pictures,), self.sampling.percent_to_sigma(0.5))
        self.runs: dict[int, Run] = {}

    def add(self, patches: Mapping[tuple[str, int, int], Any]) -> None:
        """What patches add in one evaluation of a run, by kind, index and depth of their layers."""
        run = self.runs.setdefault(id(patches), Run(pictures=self.pictures))
        evaluation = Evaluation(run, (False, True), {}, self.latent, self.sigma, self.sampling, batch=self.pictures)
        options = {KEY: evaluation, "cond_or_uncond": [1, 0], "uuids": [1, 0]}
        for place, grid, q, out in self.layers:
            if place in patches:
                patches[place].add(q, out, options, Grid(grid, grid), (self.rows, 4, *self.latent))


def _places(base: str, size: int) -> list[tuple[tuple[str, int, int], int, int]]:
    """Place, width and side of the grid of each cross-attention."""
    coarser = {"SD1.5": {320: 1, 640: 2, 1280: 4}, "SDXL": {640: 2, 1280: 4}}[base]
    middle = 2 if base == "SD1.5" else 1  # whose middle block alone is a level below the others
    return [
        ((kind, index, depth), width, size // coarser[width] // (middle if kind == "middle" else 1))
        for kind, index, depth, width, _ in PLACES[base]
    ]


def _patches(model: ModelPatcher) -> dict[tuple[str, int, int], Any]:
    """What our patches add to each layer of a model."""
    slots = model.model_options["transformer_options"]["patches_replace"]["attn2"]
    return {(*place, 0)[:3]: patch.joint for place, patch in slots.items()}


def _masks(model: ModelPatcher) -> list[torch.Tensor]:
    """The masks of the prompts that act on a model, in order."""
    joint = next(iter(_patches(model).values()))
    return [part.prompt.place.mask for part in joint.parts]


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
    base: str,
    adapter: Mapping[str, Mapping[str, torch.Tensor]],
    tokens: int,
    pictures: int,
    masks: Sequence[torch.Tensor | None],
) -> dict[tuple[str, int, int], "Projecting"]:
    """A patch for each layer but those of the middle, which projects at every step."""
    shape = (2, pictures, tokens, WIDTHS[base][0])
    references = [(torch.randn(shape), mask) for mask in masks]
    return {
        (kind, index, depth): Projecting(
            [adapter["ip_adapter"][f"{2 * number + 1}.to_{letter}_ip.weight"] for letter in "kv"], references, heads
        )
        for number, (kind, index, depth, _, heads) in enumerate(PLACES[base])
        if kind != "middle"
    }


class Projecting:
    """A patch that projects image tokens to keys and values at every call, as known packs do.

    weights: of the keys and of the values, (C, context)
    references: tokens (2 sides, N, T, context), of one reference for all pictures or of one for each, with its mask
    """

    def __init__(
        self,
        weights: Sequence[torch.Tensor],
        references: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
        heads: int,
    ):
        self.weights, self.references, self.heads = weights, references, heads

    def add(
        self, q: torch.Tensor, out: torch.Tensor, options: Mapping[str, Any], grid: Sequence[int], latent: Sequence[int]
    ) -> None:
        sides = options["cond_or_uncond"]
        for tokens, mask in self.references:
            key, value = (self._projected(weight, tokens, len(q) // len(sides), sides) for weight in self.weights)
            image = comfy.ldm.modules.attention.optimized_attention(q, key, value, self.heads) * WEIGHT
            out = out + (image if mask is None else image * _spread(mask, q, grid[:2]))

    def _projected(self, weight: torch.Tensor, tokens: torch.Tensor, rows: int, sides: Sequence[int]) -> torch.Tensor:
        """(B, T, C): the tokens of both sides, in the order of the batch, for as many rows as it has."""
        both = F.linear(tokens, weight)
        return torch.cat([both[side].repeat(rows // tokens.shape[1], 1, 1) for side in sides])


def _spread(mask: torch.Tensor, q: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    """(B, L, C): a mask on the tokens of a layer, repeated over its rows and its width."""
    small = F.interpolate(mask[None], tuple(grid), mode="bilinear").to(q)
    return small.view(1, -1, 1).repeat(len(q), 1, q.shape[2])
