"""The time of a sampling step of whole SD1.5 and SDXL UNets without, with one and with three plus adapters.

    python benchmarks/unet.py [--quick] [--comfyui PATH]

Published widths, random bf16 weights, latent 32x32, 16 image tokens, guidance on (two rows). Each candidate samples one
Euler step through ComfyUI's sampler; they take turns in one process. "added" is the median over the turns of the
difference to the turn's own step without an adapter.
"""

import statistics
import tempfile

from parts import host

OPTIONS = host.arguments(__doc__).parse_args()
FOLDER = tempfile.TemporaryDirectory()
host.start(OPTIONS, base_directory=FOLDER.name)

import torch  # noqa: E402
from parts.unets import random_unet, sample  # noqa: E402
from parts.workloads import steered  # noqa: E402

ADAPTERS = {"SD1.5": "ip-adapter-plus_sd15", "SDXL": "ip-adapter-plus_sdxl_vit-h"}


def main():
    print("| base | step, s | one adapter added | three added | turns |")
    print("|---|---:|---:|---:|---:|")
    for base, adapter in ADAPTERS.items():
        model = random_unet(base, torch.bfloat16)
        models = [steered(model, adapter, count) for count in (0, 1, 3)]
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
