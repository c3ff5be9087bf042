"""What one Apply node costs: its time without sampling, the memory that stays in the patched model, and the peak.

    python benchmarks/apply.py [--quick] [--comfyui PATH]

"whole module": building every layer of the adapter with torch's modules, giving them the weights and casting them to
fp32, which the known pack does in each Apply node and keeps. Files have the published keys and shapes, with random
weights in fp16. Candidates take turns in one process; medians. The peak is that of all tensors that the node makes,
besides the adapter's weights, and what is kept is part of it; every picture of the batch has its own reference.

FaceID brings a LoRA, which Apply adds to the model too. It is no part of the whole module, because the known pack loads
it in a node of its own, and is not counted as kept, because ComfyUI's patches share the tensors of the adapter.
"""

import tempfile

from parts import host

OPTIONS = host.arguments(__doc__).parse_args()
FOLDER = tempfile.TemporaryDirectory()
host.start(OPTIONS, base_directory=FOLDER.name)

import folder_paths  # noqa: E402
import torch  # noqa: E402
from comfy.model_patcher import ModelPatcher  # noqa: E402
from parts.unets import hollow_unet  # noqa: E402
from parts.workloads import applied, features, load_adapter, model_name  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

ADAPTERS = {  # base, kind: published file
    ("SD1.5", "base"): "ip-adapter_sd15",
    ("SD1.5", "plus"): "ip-adapter-plus_sd15",
    ("SD1.5", "full-face"): "ip-adapter-full-face_sd15",
    ("SDXL", "base"): "ip-adapter_sdxl_vit-h",
    ("SDXL", "plus"): "ip-adapter-plus_sdxl_vit-h",
    ("SDXL", "FaceID plus v2"): "ip-adapter-faceid-plusv2_sdxl",
}
REFERENCES = (1, 48, 240)


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


def kept(model: ModelPatcher) -> float:
    """The MB that the patches of a model keep in memory."""
    return sum({id(each.model): each.model_size() for each in model.model_patches_models()}.values()) / 1e6


def another(pictures):
    """Features that were not applied before."""
    for tensor in vars(pictures).values():
        tensor.add_(1e-3)
    return pictures


def peak(function):
    """(result, the most MB of tensors that it held at once)."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profile:
        result = function()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return result, most / 1e6


def times(adapters):
    print("| adapter | kept, fp32 MB | kept, fp16 MB | whole module, MB | apply, s | whole module, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for (base, kind), name in adapters:
        adapter = load_adapter(name)
        models = [hollow_unet(base, dtype) for dtype in (torch.float32, torch.float16)]
        sides = features(name), features(name)
        sizes = [kept(applied(model, adapter, *sides)) for model in models]
        path = folder_paths.get_full_path_or_raise("ipadapter", model_name(name))
        tensors = {key: tensor for key, tensor in load_file(path).items() if "_lora." not in key}
        whole = sum(t.numel() for t in tensors.values()) * 4 / 1e6
        functions = {
            "apply": lambda: applied(models[0], adapter, another(sides[0]), sides[1]),
            "whole": lambda: whole_module(tensors),
        }
        found = host.interleaved(functions, 10.0, least=3)
        print(
            f"| {base} {kind} | {sizes[0]:.1f} | {sizes[1]:.1f} | {whole:.0f} | {found['apply']:.2f} | "
            f"{found['whole']:.2f} | {found['apply'] / found['whole']:.2f} |",
            flush=True,
        )


def peaks(adapters):
    print("\n| adapter, fp16 | references | kept, MB | peak, MB | peak of kept |\n|---|---:|---:|---:|---:|")
    for (base, kind), name in adapters:
        adapter, model = load_adapter(name), hollow_unet(base, torch.float16)
        for count in REFERENCES:
            sides = features(name, count), features(name)
            patched, most = peak(lambda: applied(model, adapter, *sides, batch="one per image"))
            print(
                f"| {base} {kind} | {count} | {kept(patched):.1f} | {most:.1f} | {most / kept(patched):.2f} |",
                flush=True,
            )


def main():
    adapters = list(ADAPTERS.items())[-1 if OPTIONS.quick else 0 :]
    times(adapters)
    peaks(adapters)


with torch.inference_mode():
    main()
