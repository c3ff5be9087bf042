"""The time of a sampling step of whole SD1.5 and SDXL UNets without, with one and with three plus adapters.

    python benchmarks/unet.py [--quick] [--comfyui PATH]

Published widths, random bf16 weights, latent 32x32, 16 image tokens, guidance on (two rows). Each candidate samples one
Euler step through ComfyUI's sampler; they take turns in one process. "added" is the median over the turns of the
difference to the turn's own step without an adapter.
"""

import statistics

import _host as host

OPTIONS = host.arguments(__doc__).parse_args()
host.start(OPTIONS)

import torch  # noqa: E402
from _unets import PLACES, WIDTHS, random_unet, sample  # noqa: E402

from image_prompt.ip_adapter import Block, ImageKeyValues, fold  # noqa: E402
from image_prompt.nodes.unet_patch import Influence, bank, install  # noqa: E402

CPU = torch.device("cpu")
HEADS = {base: {Block(*place): heads for *place, heads in places} for base, places in PLACES.items()}
TOKENS = 16


def with_adapters(model, base, count):
    for _ in range(count):
        model = model.clone()
        sides = [
            [
                tuple(t.bfloat16() for t in fold(*torch.randn(2, 1, TOKENS, block.width), heads, 1.0))
                for block, heads in HEADS[base].items()
            ]
            for _ in range(2)
        ]
        layers = {block: number for number, block in enumerate(HEADS[base])}
        install(model, Influence(bank(ImageKeyValues(*sides), CPU)), layers, HEADS[base])
    return model


def main():
    print("| base | step, s | one adapter added | three added | turns |")
    print("|---|---:|---:|---:|---:|")
    for base in WIDTHS:
        model = random_unet(base, torch.bfloat16)
        models = [with_adapters(model, base, count) for count in (0, 1, 3)]
        turns = []
        for turn in range((5 if OPTIONS.quick else 15) + 1):
            order = range(3) if turn % 2 else reversed(range(3))
            times = {number: host.seconds(lambda: sample(models[number], base, 32)) for number in order}
            turns.append([times[number] for number in range(3)])
        bare = statistics.median(times[0] for times in turns[1:])
        added = [statistics.median(times[number] - times[0] for times in turns[1:]) / bare for number in (1, 2)]
        print(f"| {base} | {bare:.2f} | {added[0]:+.1%} | {added[1]:+.1%} | {len(turns) - 1} |", flush=True)


with torch.inference_mode():
    main()
