"""What one Apply node costs: its time without sampling, and the memory that it takes and that stays in the model.

    python benchmarks/apply.py [--quick] [--comfyui PATH]

"whole module": building every layer of the adapter with torch's modules, giving them the weights and casting them to
fp32, which the known pack does in each Apply node and keeps. Files have the published keys and shapes, with random
weights in fp16. Candidates take turns in one process; medians.

"peak": the highest RssAnon of the process while many references are projected, less that before, read every
millisecond by another thread. The issue's bound: 1.5 times what is kept, and one chunk (`working_memory`).
"""

import ctypes
import threading
import time

import _host as host

OPTIONS = host.arguments(__doc__).parse_args()
host.start(OPTIONS)

import comfy.ops  # noqa: E402
import torch  # noqa: E402
from _unets import BLOCKS  # noqa: E402

from image_prompt.ip_adapter import load_adapter, working_memory  # noqa: E402
from image_prompt.nodes.adapter import ImagePromptAdapter  # noqa: E402

CONTEXT = {"SD1.5": 768, "SDXL": 2048}
FEATURES = {"base": (1, 1024), "plus": (1, 257, 1280), "full-face": (1, 257, 1280)}


def norm(width):
    return {"weight": torch.ones(width), "bias": torch.zeros(width)}


def linear(rows, columns, bias=True):
    weight = {"weight": torch.randn(rows, columns) / columns**0.5}
    return {**weight, "bias": torch.zeros(rows)} if bias else weight


def nested(parts):
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}


def projection(kind, context):
    if kind == "base":
        return nested({"proj": linear(4 * context, 1024), "norm": norm(context)})
    if kind == "full-face":
        return nested({"proj.0": linear(1280, 1280), "proj.2": linear(context, 1280), "proj.3": norm(context)})
    width = 768 if context == 768 else 1280
    parts = {"proj_in": linear(width, 1280), "proj_out": linear(context, width), "norm_out": norm(context)}
    for number in range(4):
        parts[f"layers.{number}.0"] = nested(
            {
                "norm1": norm(width),
                "norm2": norm(width),
                "to_q": linear(width, width, False),
                "to_kv": linear(2 * width, width, False),
                "to_out": linear(width, width, False),
            }
        )
        parts[f"layers.{number}.1"] = nested(
            {"0": norm(width), "1": linear(4 * width, width, False), "3": linear(width, 4 * width, False)}
        )
    return {"latents": torch.randn(1, 16, width), **nested(parts)}


def file(base, kind):
    context = CONTEXT[base]
    layers = {
        f"{2 * number + 1}.to_{letter}_ip": linear(block.width, context, False)
        for number, (block, _) in enumerate(BLOCKS[base])
        for letter in "kv"
    }
    tensors = nested({"image_proj": projection(kind, context), "ip_adapter": nested(layers)})
    return {key: value.half() for key, value in tensors.items()}


def whole_module(tensors):
    """A torch module for each weight, initialised as torch does, given the file's numbers, then cast to fp32."""
    modules = {}
    for key, weight in tensors.items():
        name, _, kind = key.rpartition(".")
        if kind == "weight":
            bias = tensors.get(f"{name}.bias")
            module = (
                torch.nn.Linear(*reversed(weight.shape), bias=bias is not None)
                if weight.ndim == 2
                else torch.nn.LayerNorm(len(weight))
            )
            module.weight.data = weight
            if bias is not None:
                module.bias.data = bias
            modules[name.replace(".", "_")] = module
    return torch.nn.ModuleDict(modules).float()


def anonymous() -> int:
    """Bytes of the process that no file backs."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024


def peak(function):
    """(what it returns, bytes by which the process grew at the most)."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # give back what earlier work freed, or it would be used again unseen
    before, done, seen = anonymous(), threading.Event(), [0]

    def watch():
        while not done.is_set():
            seen[0] = max(seen[0], anonymous())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return function(), seen[0] - before
    finally:
        done.set()
        watcher.join()


class Case:
    def __init__(self, base, kind):
        self.tensors = file(base, kind)
        self.adapter = ImagePromptAdapter(load_adapter(self.tensors, ops=comfy.ops.manual_cast), kind)
        self.heads = [heads for _, heads in BLOCKS[base]]
        self.shape = FEATURES[kind][1:]

    def apply(self, dtype=torch.float32, count=1):
        cond, uncond = torch.randn(count, *self.shape), torch.zeros(1, *self.shape)
        return self.project(cond, uncond, dtype)

    def project(self, cond, uncond, dtype):
        layers = range(len(self.heads))
        return self.adapter.project(cond, uncond, layers, self.heads, together=True, weight=1.0, dtype=dtype)


def size(module):
    return sum(t.nbytes for t in module.state_dict().values()) / 1e6


def times(kinds):
    print("| adapter | kept, fp32 MB | kept, fp16 MB | whole module, MB | apply, s | whole module, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for base, kind in kinds:
        case = Case(base, kind)
        kept = [size(case.apply(dtype)) for dtype in (torch.float32, torch.float16)]
        whole = sum(t.numel() for t in case.tensors.values()) * 4 / 1e6
        found = host.interleaved({"apply": case.apply, "whole": lambda: whole_module(case.tensors)}, 10.0, least=3)
        print(
            f"| {base} {kind} | {kept[0]:.1f} | {kept[1]:.1f} | {whole:.0f} | {found['apply']:.2f} | "
            f"{found['whole']:.2f} | {found['apply'] / found['whole']:.2f} |",
            flush=True,
        )


def peaks(kinds, counts):
    print("| adapter, fp16 | references | kept, MB | a chunk, MB | peak, MB | peak less a chunk / kept | s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for base, kind in kinds:
        case = Case(base, kind)
        case.apply(torch.float16)
        for count in counts:
            cond, uncond = torch.randn(count, *case.shape), torch.zeros(1, *case.shape)
            begin = time.perf_counter()
            module, grown = peak(lambda: case.project(cond, uncond, torch.float16))
            took, kept = time.perf_counter() - begin, size(module)
            chunk = working_memory(case.adapter.module, cond, uncond) / 1e6
            print(
                f"| {base} {kind} | {count} | {kept:.1f} | {chunk:.1f} | {grown / 1e6:.1f} | "
                f"{max(grown / 1e6 - chunk, 0) / kept:.2f} | {took:.1f} |",
                flush=True,
            )
            del module


def main():
    kinds = [("SD1.5", "base"), ("SD1.5", "plus"), ("SD1.5", "full-face"), ("SDXL", "base"), ("SDXL", "plus")]
    times(kinds[-1:] if OPTIONS.quick else kinds)
    print()
    peaks([("SD1.5", "plus")] if OPTIONS.quick else [("SD1.5", "plus"), ("SDXL", "plus")], (1, 48, 240))


with torch.inference_mode():
    main()
