"""What one Apply node costs: its time without sampling, and the memory that stays in the patched model.

    python benchmarks/apply.py [--quick] [--comfyui PATH]

"whole module": building every layer of the adapter with torch's modules, giving them the weights and casting them to
fp32, which the known pack does in each Apply node and keeps. Files have the published keys and shapes, with random
weights in fp16. Candidates take turns in one process; medians.
"""

import _host as host

OPTIONS = host.arguments(__doc__).parse_args()
host.start(OPTIONS)

import comfy.ops  # noqa: E402
import torch  # noqa: E402
from _files import adapter_shapes, random_tensors  # noqa: E402
from _unets import PLACES  # noqa: E402

from image_prompt.ip_adapter import Block, load_adapter  # noqa: E402
from image_prompt.nodes.adapter import ImagePromptAdapter  # noqa: E402
from image_prompt.nodes.apply import project  # noqa: E402

ADAPTERS = {  # base, kind: published file, features of one picture
    ("SD1.5", "base"): ("ip-adapter_sd15", (1, 1024)),
    ("SD1.5", "plus"): ("ip-adapter-plus_sd15", (1, 257, 1280)),
    ("SD1.5", "full-face"): ("ip-adapter-full-face_sd15", (1, 257, 1280)),
    ("SDXL", "base"): ("ip-adapter_sdxl_vit-h", (1, 1024)),
    ("SDXL", "plus"): ("ip-adapter-plus_sdxl_vit-h", (1, 257, 1280)),
}


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


def main():
    print("| adapter | kept, fp32 MB | kept, fp16 MB | whole module, MB | apply, s | whole module, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for (base, kind), (name, features) in list(ADAPTERS.items())[-1 if OPTIONS.quick else 0 :]:
        tensors = random_tensors(adapter_shapes(name))
        adapter = ImagePromptAdapter(load_adapter(tensors, ops=comfy.ops.manual_cast), kind)
        heads = {Block(*place): count for *place, count in PLACES[base]}
        layers = {block: number for number, block in enumerate(heads)}
        cond = torch.randn(features)

        def apply(dtype=torch.float32):
            return project(adapter, cond, torch.zeros_like(cond), True, 1.0, layers, heads, dtype)

        kept = [
            sum(t.nbytes for t in apply(dtype).state_dict().values()) / 1e6 for dtype in (torch.float32, torch.float16)
        ]
        whole = sum(t.numel() for t in tensors.values()) * 4 / 1e6
        found = host.interleaved({"apply": apply, "whole": lambda: whole_module(tensors)}, 10.0, least=3)
        print(
            f"| {base} {kind} | {kept[0]:.1f} | {kept[1]:.1f} | {whole:.0f} | {found['apply']:.2f} | "
            f"{found['whole']:.2f} | {found['apply'] / found['whole']:.2f} |",
            flush=True,
        )


with torch.inference_mode():
    main()
