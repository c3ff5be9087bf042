"""What image prompts cost on a GPU: in each step of sampling, and to encode pictures.

    python benchmarks/device.py [--device cuda] [--quick] [--comfyui PATH]

On a CPU, which is the default, the same code runs on tiny shapes: that shows that it runs, and no speed.

Steps: "ours" is what the patches of all layers do in one evaluation beside the text attention. It is divided by bare
scaled_dot_product_attention calls on the same queries, keys and values, and by patches that project the image tokens to
keys and values in every layer at every step. Each evaluation of a UNet has a conditional and an unconditional row, of
Flux one row. "launches" are of kernels, "waits" calls in which the program waits for the GPU, both in one evaluation of
ours, by torch.profiler. Candidates take turns in one process, and the clock stops when the GPU has finished; medians.

Encoding: pictures per second of the library, of ComfyUI's own encoder and of transformers (sdpa), from the same
pictures in main memory, preprocessing included. "of matmul" is the share of the FLOP/s that a large torch.mm of the
same dtype reaches in the same process which the library reaches. Core chooses its own dtype.

"MB" is the highest memory that a run takes on the GPU beside weights and inputs. On a CPU it is a dash.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import sys

from parts import host

PARSER = host.arguments(__doc__)
PARSER.add_argument("--device", default="cpu", help="cpu or cuda")
PARSER.add_argument("--dtypes", nargs="+", choices=("fp32", "fp16", "bf16"), default=("fp16", "bf16"))
OPTIONS = PARSER.parse_args()

from parts import device  # noqa: E402

device.check(OPTIONS.device)
host.start(OPTIONS)

import torch  # noqa: E402
from parts.encoders import ENCODERS, TINY, EncoderShape, candidates, pictures  # noqa: E402
from parts.evaluations import DTYPES, Case, naive_flux, on_flux, ours, random_weights  # noqa: E402
from parts.flux_width import PLACES, Place  # noqa: E402
from parts.flux_width import Case as FluxCase  # noqa: E402

TOKENS, BATCHES = (4, 16, 128), (1, 8, 32)
FLUX_TEXT = 4096  # width of the text that Flux reads
STEP_COLUMNS = (
    "shapes, dtype, tokens, ours ms, sdpa ms, of sdpa, of projecting, launches, waits, ours MB, sdpa MB, projecting MB"
)
ENCODE_COLUMNS = "encoder, dtype, batch, library, core, transformers, of core, of transformers, of matmul, library MB"


def row(cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def header(columns: str) -> None:
    names = columns.split(", ")
    print()
    row(names)
    row(["---", *["---:"] * (len(names) - 1)])


def step_cases(options: argparse.Namespace):
    """(title, functions) of each row: ours, sdpa, projecting."""
    tiny = options.device == "cpu"
    sizes = (("SD1.5", 8), ("SDXL", 8)) if tiny else (("SD1.5", 64), ("SDXL", 128))
    tokens = TOKENS[:1] if options.quick or tiny else TOKENS
    for (base, size), dtype in itertools.product(sizes, options.dtypes):
        weights = [[each.to(DTYPES[dtype]) for each in pair] for pair in random_weights(base, options.device)]
        for count in tokens:
            case = Case(base, size, DTYPES[dtype], count, 1, False, 1, options.device)
            functions = {"ours": ours(case), "sdpa": case.sdpa, "projecting": lambda: case.naive(weights)}
            yield (f"{base} {size}x{size}", dtype, count), functions
    places = (Place("XLabs", 2),) if tiny else PLACES
    for place, dtype, count in itertools.product(places, options.dtypes, tokens):
        case = FluxCase(place, 64 if tiny else 4096, dtype, 1, count, place.blocks, options.device)
        functions = {"ours": on_flux(case), "sdpa": case.sdpa, "projecting": naive_flux(case, FLUX_TEXT)}
        yield (f"Flux, {place.name}", dtype, count), functions


def steps(options: argparse.Namespace) -> None:
    header(STEP_COLUMNS)
    for title, functions in step_cases(options):
        found = device.timed(functions, options.device, 0.2 if options.quick else 3.0)
        asked = device.calls(functions["ours"], options.device)
        times = [f"{found[name] * 1e3:.2f}" for name in ("ours", "sdpa")]
        ratios = [f"{found['ours'] / found[name]:.2f}" for name in ("sdpa", "projecting")]
        row(
            [
                *title,
                *times,
                *ratios,
                asked.launches,
                asked.waits,
                *(device.peak(each, options.device) for each in functions.values()),
            ]
        )


def encoding(options: argparse.Namespace) -> None:
    header(ENCODE_COLUMNS)
    tiny = options.device == "cpu"
    for shape, dtype in itertools.product(TINY if tiny else ENCODERS, options.dtypes):
        rate = device.matmul_rate(DTYPES[dtype], options.device, 256 if tiny else 8192)
        functions = candidates(shape, DTYPES[dtype], options.device)
        for batch in BATCHES[:1] if options.quick or tiny else BATCHES:
            encoding_row(options, shape, dtype, rate, functions, batch)
        del functions
        gc.collect()


def encoding_row(options: argparse.Namespace, shape: EncoderShape, dtype: str, rate: float, functions, batch: int):
    images = pictures(batch)
    given = {name: lambda each=each: each(images) for name, each in functions.items()}
    found = device.timed(given, options.device, 0.2 if options.quick else 3.0)
    speed = {name: batch / each for name, each in found.items()}
    speeds = [f"{speed[name]:.1f}" for name in ("library", "core", "transformers")]
    ratios = [f"{speed['library'] / speed[name]:.2f}" for name in ("core", "transformers")]
    share = f"{speed['library'] * shape.flops / rate:.2f}"
    row([shape.name, dtype, batch, *speeds, *ratios, share, device.peak(given["library"], options.device)])


def main() -> None:
    print(f"{device.title(OPTIONS.device)}, torch {torch.__version__}, {OPTIONS.threads} threads")
    with torch.inference_mode():
        steps(OPTIONS)
        encoding(OPTIONS)


if __name__ == "__main__":
    sys.exit(main())
