"""Tiny models whose layers are called one by one, by ComfyUI's own sampler, and what each call should give.

Letters: see formulas.py.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import comfy.ldm.modules.attention
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from image_prompt.ip_adapter import load_adapter
from image_prompt.nodes.applying.hosts.unet import cross_attentions

from . import formulas
from .formulas import BLOCKS, Layer, Plan

SCALES = {  # how often each block has halved the latent
    "SD1.5": (0, 0, 1, 1, 2, 2, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0),
    "SDXL": (1, 1, 2, 2, 2, 2, 2, 2, 1, 1, 1),
}
SIGMA = 4.0


@dataclass
class Seen:
    """A call of one attention: its inputs, and its output if something is in its place.

    number, depth: its block in the order of execution, and which attention of the block it is
    order: which condition each chunk of the rows is
    frames: the numbers of the pictures that a window of frames shows; None: there is no window
    """

    number: int
    depth: int
    order: tuple[int, ...]
    sigma: float
    grid: tuple[int, int]
    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor | None
    frames: tuple[int, ...] | None = None

    @property
    def pictures(self) -> int:
        return len(self.q) // len(self.order)


def _frames(transformer_options: dict[str, Any]) -> tuple[int, ...] | None:
    window = transformer_options.get("context_window")
    found = window.index_list if window else transformer_options.get("ad_params", {}).get("sub_idxs")
    return None if found is None else tuple(found)


@cache
def inputs(rows: int, positions: int, width: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the latent, and keys and values of a short text."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, length, width, generator=generator) for length in (positions, 3, 3))  # type: ignore[return-value]


@dataclass
class Prompt:
    """What one image prompt does, as the formulas have it.

    positive, negative: tokens for each picture or for all, (P or 1, R, T, C)
    composition: tokens of the picture for composition
    mask: (M, H, W)
    sigmas: between which it acts, both included
    """

    plan: Plan
    positive: Tensor
    negative: Tensor
    scaling: str = "V only"
    composition: Tensor | None = None
    mask: Tensor | None = None
    mode: str = "bilinear"
    sigmas: tuple[float, float] = (math.inf, 0.0)

    def acts(self, seen: Seen) -> bool:
        acting = self.plan.get(seen.number)
        return acting is not None and any(_each(acting.weight)) and self.sigmas[1] <= seen.sigma <= self.sigmas[0]

    def windowed(self, frames: tuple[int, ...] | None) -> "Prompt":
        """The prompt in a window of frames: references, weights and masks of these frames."""
        if frames is None:
            return self
        return replace(
            self,
            plan={
                number: replace(each, weight=_picked(torch.tensor(_each(each.weight)).double(), frames).tolist())
                for number, each in self.plan.items()
            },
            positive=_picked(self.positive, frames),
            negative=_picked(self.negative, frames),
            mask=None if self.mask is None else _picked(self.mask, frames),
        )

    def added(self, seen: Seen, layer: Layer) -> Tensor:
        acting, mask = self.plan[seen.number], None
        positive = self.composition if acting.composition and self.composition is not None else self.positive
        if self.mask is not None:
            mask = formulas.mask_rows(self.mask, seen.grid, seen.pictures, self.mode)
        return formulas.added(seen.q, seen.order, positive, self.negative, layer, acting, self.scaling, mask)


def _each(weight: float | Sequence[float]) -> list[float]:
    return list(weight) if isinstance(weight, Sequence) else [weight]


def _picked(rows: Tensor, frames: Sequence[int]) -> Tensor:
    """The rows of these frames, of which the last one is held."""
    return formulas.held(rows, max(frames) + 1)[list(frames)]


class World:
    """A tiny model, an adapter for it as an IPADAPTER wire carries it, and an encoder that the adapter reads.

    kind: "base" or "plus"
    """

    def __init__(self, base: str, kind: str = "base"):
        self.base, self.kind = base, kind
        self.model = tiny.unet(base)
        self.encoder = tiny.encoder(width=32, projection=25, patch=56, size=224)
        if kind == "base":
            self.file = tiny.base_file(self.model, embed=25)
        else:
            self.file = tiny.file_for(self.model, lambda context: tiny.published.resampler(context, 32, depth=1))
        self.wire: dict[str, Any] = {
            part: {key.removeprefix(f"{part}."): value for key, value in self.file.items() if key.startswith(part)}
            for part in ("image_proj", "ip_adapter")
        }
        self.seen: list[Seen] = []
        self.every = False  # whether each attention of a block is called, or only the first and the last
        self.model.model.diffusion_model._forward = self._call_layers

    # ---- features and tokens

    def features(self, images: Tensor, mask: Tensor | None = None, size: int = 224) -> Tensor:
        """Features of pictures, (N, ...), as the adapter reads them."""
        return self.encoded(formulas.pixel_values(images, mask, size))[self.kind]

    def encoded(self, pixels: Tensor) -> dict[str, Tensor]:
        fields = {"base": "image_embeds", "plus": "penultimate_hidden_states"}
        found = self.encoder.features(pixels, None, want=tuple(fields.values()), on_chunk=lambda count: None)
        return {kind: found[name].float() for kind, name in fields.items()}

    def empty(self) -> Tensor:
        """The negative without a picture for it: (1, ...)."""
        black = self.features(formulas.black())
        return black if self.kind == "plus" else torch.zeros_like(black)

    @cached_property
    def projection(self) -> Any:
        return load_adapter(self.file).eval()

    def tokens(self, features: Tensor) -> Tensor:
        """(N, ...) -> (N, T, C)."""
        return self.projection.tokens(features)

    def prompt(
        self, plan: Plan, features: Tensor, negative: Tensor | None = None, pictures: int = 0, **options: Any
    ) -> Prompt:
        """A prompt for features, which are of one sequence, or one for each of the pictures."""
        negative = formulas.held(self.empty() if negative is None else negative, len(features))
        return Prompt(plan, self.arranged(features, pictures), self.arranged(negative, pictures), **options)

    def arranged(self, features: Tensor, pictures: int = 0) -> Tensor:
        """Tokens of features, which are of one sequence, or one for each of the pictures: (P or 1, R, T, C)."""
        tokens = self.tokens(features)
        return formulas.held(tokens, pictures).unsqueeze(1) if pictures else tokens.unsqueeze(0)

    # ---- layers

    @cached_property
    def layers(self) -> dict[tuple[int, int], Layer]:
        """By the number of the block in the order of execution, and the attention in it."""
        modules = {(block.kind, block.index, block.depth): module for block, module in self._attentions}
        blocks = list(enumerate(BLOCKS[self.base]))
        blocks.sort(key=lambda each: ("input", "output", "middle").index(each[1][0]))
        sites = [(number, kind, index, depth) for number, (kind, index, count) in blocks for depth in range(count)]
        return {
            (number, depth): Layer(*self._weights(2 * place + 1), modules[kind, index, depth].heads)
            for place, (number, kind, index, depth) in enumerate(sites)
        }

    @property
    def _attentions(self) -> list[Any]:
        return cross_attentions(self.model.model.diffusion_model)

    def _weights(self, key: int) -> tuple[Tensor, Tensor]:
        to_k, to_v = (self.file[f"ip_adapter.{key}.to_{letter}_ip.weight"].double() for letter in "kv")
        return to_k, to_v

    # ---- calls

    def _call_layers(
        self, x: Tensor, timesteps: Any, context: Any, y: Any, control: Any, transformer_options: Any, **_: Any
    ) -> Tensor:
        """In place of the model: call what is in the place of each attention as ComfyUI's blocks do."""
        found = transformer_options.get("patches_replace", {}).get("attn2", {})
        for number, depth, (kind, index), grid in self._sites(x):
            layer = self.layers[number, depth]
            width = len(layer.to_k)
            q, k, v = inputs(len(x), grid[0] * grid[1], width, 100 * number + depth)
            options = {
                **transformer_options,
                "block": (kind, index),
                "block_index": depth,
                "transformer_index": number,
                "n_heads": layer.heads,
                "dim_head": width // layer.heads,
                "attn_precision": None,
                "original_shape": list(x.shape),
                "activations_shape": [len(x), width, *grid],
            }
            patch = found.get((kind, index, depth)) or found.get((kind, index))
            out = patch(q.clone(), k.clone(), v.clone(), options) if patch else None
            order, sigma = tuple(transformer_options["cond_or_uncond"]), float(transformer_options["sigmas"][0])
            self.seen.append(Seen(number, depth, order, sigma, grid, q, k, v, out, _frames(transformer_options)))
        return x * 0.0

    def _sites(self, x: Tensor) -> Iterator[tuple[int, int, tuple[str, int], tuple[int, int]]]:
        for number, ((kind, index, count), halvings) in enumerate(zip(BLOCKS[self.base], SCALES[self.base])):
            grid = (math.ceil(x.shape[2] / 2**halvings), math.ceil(x.shape[3] / 2**halvings))
            for depth in range(count) if self.every else {0, count - 1}:
                yield number, depth, (kind, index), grid

    def calls(self, model: ModelPatcher, sigma: float = SIGMA, **options: Any) -> list[Seen]:
        """What each attention was called with in one step."""
        self.seen = []
        tiny.sample(model, self.base, sigmas=torch.tensor([sigma, 0.0]), **options)
        return self.seen

    def sigma(self, percent: float) -> float:
        return float(self.model.get_model_object("model_sampling").percent_to_sigma(percent))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Run the model itself, not its layers one by one."""
        unet = self.model.model.diffusion_model
        del unet._forward
        yield
        unet._forward = self._call_layers

    # ---- comparison

    def check(self, seen: Sequence[Seen], *prompts: Prompt, case: object = "") -> None:
        """Every attention gives the text and what the prompts add, to 1e-5 of what they add.

        case: what a failure says of a test with several
        """
        assert {each.number for each in seen} == set(range(len(BLOCKS[self.base])))
        for each in seen:
            layer = self.layers[each.number, each.depth]
            acting = [prompt.windowed(each.frames) for prompt in prompts if prompt.acts(each)]
            if not acting:
                same_bits(each, layer, case)
                continue
            assert each.out is not None, f"{case}: nothing acts in block {each.number}"
            added = torch.stack([prompt.added(each, layer) for prompt in acting]).sum(0)
            close(each, formulas.attention(each.q, each.k, each.v, layer.heads), added, case)


def same_bits(seen: Seen, layer: Layer, case: object) -> None:
    """What nothing acts on is as without a node."""
    if seen.out is not None:
        text = comfy.ldm.modules.attention.optimized_attention(seen.q, seen.k, seen.v, layer.heads)
        assert torch.equal(seen.out, text), f"{case}: something acts in block {seen.number}"


def close(seen: Seen, text: Tensor, added: Tensor, case: object) -> None:
    assert seen.out is not None
    difference = (seen.out.double() - text - added).abs().max()
    size = added.abs().max()
    # of what is added; the text and the sum are rounded to 24 bits besides
    allowed = 1e-5 * size + 6e-7 * (text.abs().max() + size)
    assert difference <= allowed, (
        f"{case}: block {seen.number}, attention {seen.depth}: differs by {difference:.2e}, of {size:.2e} added"
    )
