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

"Flux width": the layers of adapters for Flux.1, as parts/flux_width.py says. With --device cuda it is the only table,
and is measured without ComfyUI.
"""

import sys

from parts import flux_width, host

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
from parts import unets  # noqa: E402

unets.shorten_text_attention()
host.import_pack(host.ROOT)

import itertools  # noqa: E402
from dataclasses import replace  # noqa: E402

import torch  # noqa: E402
from parts.compat import Compared  # noqa: E402
from parts.evaluations import DTYPES, LAYERS, Case, on_flux, ours, random_weights  # noqa: E402

from image_prompt.ip_adapter import Course, Keyframe, Share, Strength  # noqa: E402

CPU_DTYPES = ("fp32", "bf16")


def cases():
    """(base, latent, dtype, tokens, batch, masked, adapters)."""
    tokens, batches, masks = ((4, 16), (1,), (False,)) if OPTIONS.quick else ((4, 16, 257), (1, 4), (False, True))
    counts = (1, 3)
    for base, size in (("SD1.5", 64), ("SDXL", 128)):
        yield from itertools.product([base], [size], ["fp32"], OPTIONS.tokens or tokens, batches, masks, counts)
    yield from itertools.product(["SDXL"], [32], CPU_DTYPES, OPTIONS.tokens or (4, 16), [1], [False], counts)


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
    for (base, size), dtype in itertools.product([("SD1.5", 64), ("SDXL", 128)], CPU_DTYPES):
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
