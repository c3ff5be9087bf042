"""One evaluation of a model of which only the attention to image prompts is there: by our patches, and by others."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from comfy.model_sampling import ModelSamplingDiscrete
from torch.nn import functional as F

from image_prompt.ip_adapter import Block, Constant, Strength, scale_key
from image_prompt.nodes.applying.image_prompt import ImagePrompt, Site
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.applying.masks import Grid, Place
from image_prompt.nodes.applying.sampling import KEY, Evaluation, Run

from . import flux_width

LAYERS = {  # side of the latent: (grid side, inner width, heads): count
    "SD1.5": {
        64: {(64, 320, 8): 5, (32, 640, 8): 5, (16, 1280, 8): 5, (8, 1280, 8): 1},
        8: {(8, 320, 8): 5, (4, 640, 8): 5, (2, 1280, 8): 5, (1, 1280, 8): 1},
    },
    "SDXL": {
        128: {(64, 640, 10): 10, (32, 1280, 20): 60},
        32: {(16, 640, 10): 10, (8, 1280, 20): 60},
        8: {(4, 640, 10): 10, (2, 1280, 20): 60},
    },
}
STEPS = 20  # of a schedule
CONTEXT = {"SD1.5": 768, "SDXL": 2048}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Case:
    """The queries, outputs, keys and values of all layers of a UNet."""

    def __init__(self, base, size, dtype, tokens, batch, masked, adapters, device="cpu"):
        made = {"dtype": dtype, "device": device}
        shapes = LAYERS[base][size]
        self.layers = [shape for shape, count in shapes.items() for _ in range(count)]
        self.size, self.batch, self.rows, self.adapters = size, batch, 2 * batch, adapters
        self.queries = {shape: torch.randn(self.rows, shape[0] ** 2, shape[1], **made) for shape in shapes}
        self.outs = {shape: torch.zeros_like(query) for shape, query in self.queries.items()}
        self.mask = torch.rand(1, 512, 512, device=device) if masked else None
        self.image_tokens = torch.randn(2, tokens, CONTEXT[base], **made)
        self.key_values = [
            [tuple(torch.randn(1, tokens, width, **made) for _ in "kv") for _, width, _ in self.layers]
            for _ in range(2 * adapters)
        ]

    def sdpa(self):
        for number, (_, _, heads) in enumerate(self.layers):
            query = self.queries[self.layers[number]].unflatten(-1, (heads, -1)).transpose(1, 2)
            for adapter in range(self.adapters):
                sides = self.key_values[2 * adapter : 2 * adapter + 2]
                for rows, (key, value) in zip(query.chunk(2), (side[number] for side in sides)):
                    key, value = (
                        t.unflatten(-1, (heads, -1)).transpose(1, 2).expand(len(rows), -1, -1, -1) for t in (key, value)
                    )
                    F.scaled_dot_product_attention(rows, key, value)

    def naive(self, weights):
        pictures = self.rows // 2
        for number, shape in enumerate(self.layers):
            query, out, heads = self.queries[shape], self.outs[shape], shape[2]
            for _ in range(self.adapters):
                key, value = (
                    torch.cat(
                        [F.linear(self.image_tokens[side : side + 1], weight).repeat(pictures, 1, 1) for side in (1, 0)]
                    )
                    for weight in weights[number]
                )
                q, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
                image = F.scaled_dot_product_attention(q, key, value).transpose(1, 2).flatten(2)
                if self.mask is not None:
                    mask = F.interpolate(self.mask[None], (shape[0],) * 2, mode="bicubic").to(image)
                    image = image * mask.view(1, -1, 1).repeat(self.rows, 1, shape[1])
                out = out + image


def ours(case: Case, strengths: Sequence[Strength] = (), masks: Sequence[torch.Tensor] = ()) -> Callable[[], None]:
    """One evaluation of our patches: all that this file knows of them.

    strengths, masks: those of each adapter; without them all act in full, under the mask of the case
    """
    device = case.image_tokens.device
    sites = [Site(Block("input", number, 0, shape[1]), shape[2]) for number, shape in enumerate(case.layers)]
    layers = {site: number for number, site in enumerate(sites)}
    parts = [
        ImagePrompt(kept(case, adapter), layers, strength, Place(mask)).parts()
        for adapter, strength, mask in zip(
            range(case.adapters),
            strengths or [Strength()] * case.adapters,
            masks or [case.mask] * case.adapters,
        )
    ]
    joints = [Joint(site, [each[site] for each in parts]) for site in sites]
    latent = (case.size, case.size)
    steps = evaluations(latent, case.batch, (False, True), device)

    def evaluate() -> None:
        options = next(steps)
        for shape, joint in zip(case.layers, joints):
            joint.add(case.queries[shape], case.outs[shape], options, Grid(shape[0], shape[0]), (case.rows, 4, *latent))

    return evaluate


def on_flux(case: flux_width.Case) -> Callable[[], None]:
    """One evaluation of our patches at the width of Flux."""
    heads, width, side = flux_width.HEADS, flux_width.WIDTH, math.isqrt(case.picture)
    layers = {Site(Block("double", number, 0, width), heads): number for number in range(len(case.key_values))}
    parts = ImagePrompt(Kept({"cond": case.key_values}, [heads] * len(layers)), layers, Strength(0.5)).parts()
    joints = [Joint(site, [part]) for site, part in parts.items()]
    latent = (2 * side, 2 * side)
    steps = evaluations(latent, case.batch, (False,), case.query.device)

    def evaluate() -> None:
        options = next(steps)
        for joint in joints:
            joint.add(case.query, case.out, options, Grid(side, side), (case.batch, 16, *latent))

    return evaluate


def naive_flux(case: flux_width.Case, text: int) -> Callable[[], None]:
    """One evaluation of patches that project at every step. text: width of what a layer projects"""
    kind: dict[str, Any] = {"dtype": case.query.dtype, "device": case.query.device}
    tokens = torch.randn(1, case.tokens, text, **kind)
    weights = [tuple(torch.randn(2, flux_width.WIDTH, text, **kind) / text**0.5) for _ in case.key_values]
    query = case.query.transpose(1, 2)  # (B, H, L, D)

    def evaluate() -> None:
        for pair in weights:
            key, value = (
                F.linear(tokens, weight).unflatten(-1, (flux_width.HEADS, -1)).transpose(1, 2) for weight in pair
            )
            image = F.scaled_dot_product_attention(
                query, *(each.expand(case.batch, -1, -1, -1) for each in (key, value))
            )
            case.out + image.transpose(1, 2).flatten(2)

    return evaluate


def evaluations(
    latent: tuple[int, int], batch: int, negative: tuple[bool, ...], device: torch.device
) -> Iterator[dict[str, Any]]:
    """What patches are told in each evaluation, run after run. negative: whether each condition is negative."""
    sampling, order = ModelSamplingDiscrete(), list(reversed(range(len(negative))))
    sigmas = [torch.full((batch,), sampling.percent_to_sigma(step / STEPS), device=device) for step in range(STEPS)]
    for run in (Run() for _ in itertools.count()):
        for sigma in sigmas:
            evaluation = Evaluation(run, negative, {}, latent, sigma, sampling)
            yield {KEY: evaluation, "cond_or_uncond": order, "uuids": order}


def kept(case: Case, adapter: int) -> "Kept":
    """The keys and values of one adapter."""
    sides = dict(zip(("cond", "uncond"), case.key_values[2 * adapter : 2 * adapter + 2]))
    return Kept(sides, [heads for _, _, heads in case.layers])


class Kept:
    """Keys and values of each layer for each side, as those that Apply prepares. heads: of each layer."""

    stepwise = False

    def __init__(self, sides: dict[str, list[Any]], heads: Sequence[int]):
        self.sides = {}
        for name, pairs in sides.items():
            key = pairs[0][0]
            self.sides[name] = Constant(
                1,
                [key.shape[1]] * len(pairs),
                [key.shape[2] for key, _ in pairs],
                dtype=key.dtype,
                device=key.device,
            )
            for number, ((key, value), count) in enumerate(zip(pairs, heads)):
                for room, given in zip(self.sides[name].layer(number), (scale_key(key, count), value)):
                    room.copy_(given)

    def side(self, name: str) -> Constant:
        return self.sides[name]

    def sampling_layer(self, number: int, model: object = None) -> None:
        """Nothing of a layer has to be there while the model runs."""


def random_weights(base, device="cpu"):
    """Of a layer's keys and values, for a patch that projects at every step."""
    widths = [width for (_, width, _), count in next(iter(LAYERS[base].values())).items() for _ in range(count)]
    return [[torch.randn(width, CONTEXT[base], device=device) / 45 for _ in "kv"] for width in widths]
