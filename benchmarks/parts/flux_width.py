"""What image prompts add to one evaluation at the width of Flux.1-dev: 24 heads of 128 channels.

    python benchmarks/sampling.py --flux [--quick] [--device cuda] [--layers N]

It needs torch alone, so that it also runs where ComfyUI is not. "of sdpa": the time in which all layers attend to the
image prompt and add the result, divided by that of bare scaled_dot_product_attention calls with the same queries, keys
and values. Candidates take turns in one process. The fastest turn of each counts, because large tensors make the
others depend on what else the machine does.

XLabs adds to the picture's tokens after a double block. InstantX adds to the result of attention: in double blocks to
that of the picture, which follows the text's in memory, and in single blocks to that of text and picture.

On a GPU there are also the highest memory that an evaluation takes beside its inputs, and the time of two matrix
products with a softmax between them ("products"), which CPUs use for few tokens.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import host

HEADS, CHANNELS, TEXT = 24, 128, 512  # of Flux.1-dev
WIDTH = HEADS * CHANNELS
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
IN_TABLE = ("fp32", "bf16")


@dataclass(frozen=True)
class Place:
    """Where an adapter acts.

    blocks: in how many blocks of the model
    on_text: whether it acts on the tokens of the text too
    after_text: whether the output follows that of the text in memory
    """

    name: str
    blocks: int
    on_text: bool = False
    after_text: bool = False


PLACES = (
    Place("XLabs", 19),
    Place("InstantX, double", 19, after_text=True),
    Place("InstantX, single", 38, on_text=True),
)


class Case:
    """The queries, outputs, keys and values of the layers at one place. Blocks share the query and the output."""

    def __init__(self, place: Place, picture: int, dtype: str, batch: int, tokens: int, layers: int, device: str):
        kind: dict[str, Any] = {"dtype": DTYPES[dtype], "device": device}
        start = 0 if place.on_text else TEXT
        self.place, self.picture, self.dtype, self.batch, self.tokens = place, picture, dtype, batch, tokens
        self.query = torch.randn(batch, HEADS, TEXT + picture, CHANNELS, **kind)[:, :, start:].transpose(1, 2)
        length = self.query.shape[1]
        self.out = torch.zeros(batch, length + TEXT * place.after_text, WIDTH, **kind)[:, -length:]
        self.key_values = [tuple(torch.randn(2, 1, tokens, WIDTH, **kind)) for _ in range(layers)]

    def sdpa(self) -> None:
        query = self.query.transpose(1, 2)
        for key, value in self.key_values:
            key, value = (_by_head(each).expand(self.batch, -1, -1, -1) for each in (key, value))
            F.scaled_dot_product_attention(query, key, value)

    def products(self) -> None:
        query = self.query.transpose(1, 2).flatten(0, 1)
        for key, value in self.key_values:
            key, value = _by_head(key * CHANNELS**-0.5)[0], _by_head(value)[0]
            shares = torch.bmm(query, key.repeat(self.batch, 1, 1).mT).softmax(-1)
            for out, some in zip(_by_head(self.out), shares.split(HEADS)):
                out.baddbmm_(some, value, alpha=0.5)


def _by_head(tensor: Tensor) -> Tensor:
    return tensor.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def planned(ip_adapter: ModuleType) -> Callable[[Case], Callable[[], None]]:
    """One evaluation of a case by the plans of the package."""

    def ours(case: Case) -> Callable[[], None]:
        rows = slice(0, case.batch)
        plans = [
            ip_adapter.plan_attention(
                case.query, [ip_adapter.Attended(rows, ip_adapter.scale_key(key, HEADS), value)], HEADS
            )
            for key, value in case.key_values
        ]

        def evaluate() -> None:
            for plan in plans:
                plan(case.query, case.out, [0.5])

        return evaluate

    return ours


def table(options: argparse.Namespace, ours: Callable[[Case], Callable[[], None]]) -> None:
    """Print the table. ours: makes what computes one evaluation of a case."""
    on_gpu = options.device != "cpu"
    columns = ["adapter", "layers", "picture", "dtype", "batch", "tokens", "ours, ms", "sdpa, ms", "of sdpa"]
    columns += ["products, of sdpa", "ours, peak MB", "sdpa, peak MB"] if on_gpu else []
    print(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for case in cases(options):
        functions = {"ours": ours(case), "sdpa": case.sdpa} | ({"products": case.products} if on_gpu else {})
        found = host.interleaved(
            {name: _finished(function) if on_gpu else function for name, function in functions.items()},
            1.0 if options.quick else 2.0,
            of=min,
        )
        cells = [case.place.name, len(case.key_values), case.picture, case.dtype, case.batch, case.tokens]
        cells += [f"{found[name] * 1e3:.2f}" for name in ("ours", "sdpa")]
        cells += [f"{found[name] / found['sdpa']:.2f}" for name in found if name != "sdpa"]
        cells += [f"{peak(functions[name]) / 1e6:.0f}" for name in ("ours", "sdpa")] if on_gpu else []
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def cases(options: argparse.Namespace):
    pictures, batches = ((1024,), (1,)) if options.quick else ((1024, 4096), (1, 2))
    on_gpu = options.device != "cpu"
    for place, picture, dtype, batch, tokens in itertools.product(
        PLACES, (4096,) if on_gpu and options.quick else pictures, IN_TABLE, batches, options.tokens or (4, 16, 128)
    ):
        layers = options.layers or (place.blocks if on_gpu else 4)
        yield Case(place, picture, dtype, batch, tokens, layers, options.device)


def peak(function: Callable[[], None]) -> int:
    """The highest memory, in bytes, that a function takes on the GPU beside what is there."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    return torch.cuda.max_memory_allocated() - before


def _finished(function: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        function()
        torch.cuda.synchronize()

    return call


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda; on a GPU, the table of the width of Flux alone")
    parser.add_argument("--layers", type=int, help="of the table of the width of Flux: how many, instead of 4 or all")


def run_alone(options: argparse.Namespace) -> None:
    """Print the table with the package's plans and without ComfyUI."""
    torch.set_num_threads(options.threads)
    folder = host.ROOT / "ip_adapter"
    ip_adapter = host.load("ip_adapter", folder / "__init__.py", submodule_search_locations=[str(folder)])
    if options.device != "cpu":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    with torch.inference_mode():
        table(options, planned(ip_adapter))
