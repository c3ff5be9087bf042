"""What an applied IP-Adapter adds to one model evaluation, at the published layer widths, on the CPU.

    python benchmarks/sampling.py [--quick] [--comfyui PATH]

"of sdpa": the time of everything that the patches of all layers do, beside the text attention that they find there,
divided by the time of bare scaled_dot_product_attention calls on the same queries, keys and values. "of naive": the
same divided by a patch that projects the image tokens to keys and values in every layer at every step, repeats them
over the batch, and masks over the full width, as the known packs do. Each evaluation has a conditional and an
unconditional row for each picture. Candidates take turns in one process; medians.

"controls": three references of 16 tokens with a mask each, whose weight differs from layer to layer, beside one
reference of 48 tokens without any of it; and both with a schedule, whose weight differs from step to step.

"compat": what patches of nodes of IPAdapter_plus add, beside that of our own nodes that act in the same layers, of the
same nodes again, and of patches in the same layers that project at every step and call ComfyUI's attention.

"Flux width": the layers of adapters for Flux.1, as _flux_width.py says. With --device cuda it is the only table, and
is measured without ComfyUI.
"""

import sys

import _flux_width as flux_width
import _host as host

PARSER = host.arguments(__doc__)
PARSER.add_argument("--controls", action="store_true", help="only the table of controls")
PARSER.add_argument("--compat", action="store_true", help="only the table of nodes of IPAdapter_plus")
PARSER.add_argument("--flux", action="store_true", help="only the table of the width of Flux")
PARSER.add_argument("--tokens", nargs="+", type=int, help="only these numbers of image tokens")
flux_width.add_arguments(PARSER)
OPTIONS = PARSER.parse_args()
if OPTIONS.device != "cpu":
    sys.exit(flux_width.run_alone(OPTIONS))
host.import_comfyui(OPTIONS)
import _unets  # noqa: E402

_unets.shorten_text_attention()
host.import_pack(host.ROOT)

import itertools  # noqa: E402
import math  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from dataclasses import replace  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402
from _compat import Compared  # noqa: E402
from comfy.model_sampling import ModelSamplingDiscrete  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from image_prompt.ip_adapter import Block, Constant, Course, Keyframe, Share, Strength, scale_key  # noqa: E402
from image_prompt.nodes.applying.image_prompt import ImagePrompt, Site  # noqa: E402
from image_prompt.nodes.applying.joint import Joint  # noqa: E402
from image_prompt.nodes.applying.masks import Grid, Place  # noqa: E402
from image_prompt.nodes.applying.sampling import KEY, Evaluation, Run  # noqa: E402

LAYERS = {  # side of the latent: (grid side, inner width, heads): count
    "SD1.5": {64: {(64, 320, 8): 5, (32, 640, 8): 5, (16, 1280, 8): 5, (8, 1280, 8): 1}},
    "SDXL": {128: {(64, 640, 10): 10, (32, 1280, 20): 60}, 32: {(16, 640, 10): 10, (8, 1280, 20): 60}},
}
STEPS = 20  # of a schedule
CONTEXT = {"SD1.5": 768, "SDXL": 2048}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Case:
    def __init__(self, base, size, dtype, tokens, batch, masked, adapters):
        shapes = LAYERS[base][size]
        self.layers = [shape for shape, count in shapes.items() for _ in range(count)]
        self.size, self.batch, self.rows, self.adapters = size, batch, 2 * batch, adapters
        self.queries = {shape: torch.randn(self.rows, shape[0] ** 2, shape[1]).to(dtype) for shape in shapes}
        self.outs = {shape: torch.zeros_like(query) for shape, query in self.queries.items()}
        self.mask = torch.rand(1, 512, 512) if masked else None
        self.image_tokens = torch.randn(2, tokens, CONTEXT[base]).to(dtype)
        self.key_values = [
            [tuple(torch.randn(1, tokens, width).to(dtype) for _ in "kv") for _, width, _ in self.layers]
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
    steps = evaluations(latent, case.batch, (False, True))

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
    steps = evaluations(latent, case.batch, (False,))

    def evaluate() -> None:
        options = next(steps)
        for joint in joints:
            joint.add(case.query, case.out, options, Grid(side, side), (case.batch, 16, *latent))

    return evaluate


def evaluations(latent: tuple[int, int], batch: int, negative: tuple[bool, ...]) -> Iterator[dict[str, Any]]:
    """What patches are told in each evaluation, run after run. negative: whether each condition is negative."""
    sampling, order = ModelSamplingDiscrete(), list(reversed(range(len(negative))))
    sigmas = [torch.full((batch,), sampling.percent_to_sigma(step / STEPS)) for step in range(STEPS)]
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
                1, [key.shape[1]] * len(pairs), [key.shape[2] for key, _ in pairs], dtype=key.dtype
            )
            for number, ((key, value), count) in enumerate(zip(pairs, heads)):
                for room, given in zip(self.sides[name].layer(number), (scale_key(key, count), value)):
                    room.copy_(given)

    def side(self, name: str) -> Constant:
        return self.sides[name]

    def sampling_layer(self, number: int) -> None:
        """Nothing of a layer has to be there while the model runs."""


def cases():
    """(base, latent, dtype, tokens, batch, masked, adapters)."""
    tokens, batches, masks = ((4, 16), (1,), (False,)) if OPTIONS.quick else ((4, 16, 257), (1, 4), (False, True))
    counts = (1, 3)
    for base, size in (("SD1.5", 64), ("SDXL", 128)):
        yield from itertools.product([base], [size], ["fp32"], OPTIONS.tokens or tokens, batches, masks, counts)
    yield from itertools.product(["SDXL"], [32], DTYPES, OPTIONS.tokens or (4, 16), [1], [False], counts)


def random_weights(base):
    """Of a layer's keys and values, for a patch that projects at every step."""
    widths = [width for (_, width, _), count in next(iter(LAYERS[base].values())).items() for _ in range(count)]
    return [[torch.randn(width, CONTEXT[base]) / 45 for _ in "kv"] for width in widths]


def by_adapters(budget):
    weights = {base: random_weights(base) for base in LAYERS}
    print("| base | latent | dtype | tokens | batch | mask | adapters | ours, ms | sdpa, ms | of sdpa | of naive |")
    print("|---|---:|---|---:|---:|---|---:|---:|---:|---:|---:|")
    for base, size, dtype, count, batch, masked, adapters in cases():
        case = Case(base, size, DTYPES[dtype], count, batch, masked, adapters)
        functions = {"ours": ours(case), "sdpa": case.sdpa}
        if count <= 16:
            cast = [[weight.to(DTYPES[dtype]) for weight in pair] for pair in weights[base]]
            functions["naive"] = lambda: case.naive(cast)
        found = host.interleaved(functions, budget, least=3)
        naive = f"{found['ours'] / found['naive']:.2f}" if "naive" in found else ""
        print(
            f"| {base} | {size}x{size} | {dtype} | {count} | {batch} | {'yes' if masked else 'no'} | {adapters} | "
            f"{found['ours'] * 1e3:.1f} | {found['sdpa'] * 1e3:.1f} | {found['ours'] / found['sdpa']:.2f} | {naive} |",
            flush=True,
        )


def controls(budget):
    print(
        "| base | latent | dtype | one, ms | three, ms | three of one | one with a schedule | three with a schedule |"
    )
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for (base, size), dtype in itertools.product([("SD1.5", 64), ("SDXL", 128)], DTYPES):
        one = Case(base, size, DTYPES[dtype], 48, 1, False, 1)
        three = Case(base, size, DTYPES[dtype], 16, 1, False, 3)
        count = len(three.layers)
        strengths = [
            Strength(weight, {layer: Share(0.5 + layer / count) for layer in range(count)})
            for weight in (0.6, 0.8, 1.0)
        ]
        masks = list(torch.rand(3, 1, 512, 512))
        found = host.interleaved(
            {
                "one": ours(one),
                "three": ours(three, strengths, masks),
                "one, schedule": ours(one, [scheduled(Strength(), 0.2)]),
                "three, schedule": ours(three, [scheduled(each, each.weight / 2) for each in strengths], masks),
            },
            6 * budget,
            least=5,
        )
        ratios = [
            found[name] / found[beside]
            for name, beside in (("three", "one"), ("one, schedule", "one"), ("three, schedule", "three"))
        ]
        print(
            f"| {base} | {size}x{size} | {dtype} | {found['one'] * 1e3:.1f} | {found['three'] * 1e3:.1f} | "
            f"{' | '.join(f'{ratio:.3f}' for ratio in ratios)} |",
            flush=True,
        )


def scheduled(strength, last):
    """The strength with a weight that goes from all of it to `last` of it over the steps."""
    return replace(strength, course=Course(keyframes=(Keyframe(0.0, 1.0), Keyframe(1.0, last))))


def compared():
    bases = [("SD1.5", 64)] if OPTIONS.quick else [("SD1.5", 64), ("SDXL", 64)]
    for (base, size), tokens in itertools.product(bases, OPTIONS.tokens or (4, 16)):
        yield Compared("IPAdapterAdvanced", base, size, tokens)
        yield Compared("IPAdapterBatch", base, size, tokens, pictures=4)
        yield Compared("IPAdapterTiled", base, size, tokens)


def compat(budget):
    print("| node | base | latent | tokens | batch | ours, ms | node, of ours | ours again, of ours | of projecting |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in compared():
        functions = row.additions()
        projecting = functions.pop("projecting")  # it leaves the caches cold to what follows
        added = host.interleaved(functions, 4 * budget, least=5)
        beside = host.interleaved({"node": functions["node"], "projecting": projecting}, budget, least=3)
        print(
            f"| {row.id} | {row.base} | {row.size}x{row.size} | {row.tokens} | {row.pictures} | "
            f"{added['ours'] * 1e3:.1f} | {added['node'] / added['ours']:.3f} | {added['again'] / added['ours']:.3f} | "
            f"{beside['node'] / beside['projecting']:.2f} |",
            flush=True,
        )


def main():
    budget = 2.0 if OPTIONS.quick else 4.0
    tables = {"controls": controls, "compat": compat, "flux": lambda budget: flux_width.table(OPTIONS, on_flux)}
    chosen = [name for name in tables if getattr(OPTIONS, name)]
    if not chosen:
        by_adapters(budget)
        print()
    for name in chosen or tables:
        tables[name](budget)
        print()


with torch.inference_mode():
    main()
