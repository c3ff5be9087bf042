"""Without ComfyUI: from a cold start to the first features, and how long a picture takes that is known.

    python benchmarks/library.py [--quick] [--comfyui PATH]

Cold: fresh processes, taking turns, import the library, load an encoder in fp16 of published shapes and encode one
picture; `load(path)` beside `load_encoder(load_file(path))`, in the same dtype. Medians of wall seconds and of CPU
seconds, imports of torch included. Known: the time of `ImagePromptService.features` for one picture of 1024x1024, the
median of 100 calls.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from parts import host

ALIKE = 1.05  # at most so many times what loading by hand takes
HIT_MS = {"hashed before": 1.0, "path": 1.0, "PIL image": 10.0, "tensor": 10.0}  # at most


def arguments():
    parser = host.arguments(__doc__)
    parser.add_argument("--repeats", type=int, help="of every cold start; default 9, or 3 with --quick")
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FILE"), help="one cold start, in this process")
    return parser.parse_args()


def by_path(file: str) -> object:
    from image_prompt import clip_vision

    return clip_vision.load(file, device="cpu")


def by_hand(file: str) -> object:
    from safetensors.torch import load_file

    from image_prompt.clip_vision import best_dtype, load_encoder

    return load_encoder(load_file(file), dtype=best_dtype("cpu"))


CANDIDATES: dict[str, Callable[[str], object]] = {"load": by_path, "by hand": by_hand}


def measure(options, name: str, file: str) -> None:
    """One cold start in this process: nothing of torch is imported before the clock runs."""
    host.import_pack(host.ROOT)
    begin = time.perf_counter()
    import torch

    torch.set_num_threads(options.threads)
    encoder = CANDIDATES[name](file)
    from image_prompt.clip_vision import encode

    features = encode(encoder, torch.rand(1, 512, 512, 3), want=("image_embeds", "penultimate"))
    seconds, cpu = time.perf_counter() - begin, time.process_time()
    print(json.dumps({"seconds": seconds, "cpu": cpu, "finite": bool(features.image_embeds.isfinite().all())}))


def cold(options, file: Path) -> dict[str, dict[str, float]]:
    """Medians of each: wall seconds, and CPU seconds of the whole process."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in CANDIDATES}
    for turn in range(1 + (options.repeats or (3 if options.quick else 9))):
        for name in CANDIDATES:
            command = [sys.executable, __file__, "--measure", name, file, "--threads", str(options.threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["finite"]
            if turn:  # the first turn warms the disk
                times[name].append(found)
    return {
        name: {key: statistics.median(run[key] for run in each) for key in ("seconds", "cpu")}
        for name, each in times.items()
    }


def known(encoder: Path) -> dict[str, float]:
    """Milliseconds of a call for a picture whose features are known."""
    import torch
    from PIL import Image

    from image_prompt.service import HashedPicture, ImagePromptService

    tensor = torch.rand(1, 1024, 1024, 3)
    picture = Image.fromarray((tensor[0] * 255).round().byte().numpy())
    file = encoder.with_name("picture.png")
    picture.save(file)
    os.utime(file, (time.time() - 60,) * 2)  # a file that was written just now may be written again within its time
    given = {"hashed before": HashedPicture.of(picture), "path": file, "PIL image": picture, "tensor": tensor}
    found = {}
    with ImagePromptService(encoder=encoder, device="cpu") as service:
        for name, each in given.items():
            run = lambda: service.features(each, want=("image_embeds", "penultimate"))  # noqa: E731
            run()
            found[name] = 1000 * statistics.median(host.seconds(run) for _ in range(100))
    return found


def main() -> None:
    options = arguments()
    if options.measure:
        return measure(options, *options.measure)
    host.start(options)
    from parts import files

    with tempfile.TemporaryDirectory() as folder:
        print(f"{options.threads} threads\n\n| cold | | load | by hand | ratio | at most |\n|---|---|---|---|---|---|")
        for name in ("ViT-B/32", "ViT-H/14"):
            file = Path(folder) / f"{name.replace('/', '-')}.safetensors"
            files.write(file, files.vision_shapes(name))
            found = cold(options, file)
            for key in ("seconds", "cpu"):
                load, hand = found["load"][key], found["by hand"][key]
                row = f"| {name} | {key} | {load:.2f} | {hand:.2f} | {load / hand:.3f} |"
                print(f"{row} {ALIKE} |" if key == "seconds" else f"{row} |", flush=True)
        print("\n| known picture | ms | at most |\n|---|---|---|")
        for name, milliseconds in known(Path(folder) / "ViT-B-32.safetensors").items():
            print(f"| {name} | {milliseconds:.2f} | {HIT_MS[name]:g} |")


if __name__ == "__main__":
    main()
