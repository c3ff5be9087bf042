"""Pictures encoded per second: this pack's node and library, transformers (sdpa) and ComfyUI core, on the CPU.

    python benchmarks/encode.py [--quick] [--comfyui PATH]

Random weights of published shapes; all give image_embeds and hidden states from the same 224x224 pictures. Ours and
core's time includes preprocessing. Core keeps fp16 weights and computes in fp32. The candidates take turns in one
process, and medians are shown. "of matmul" is the share of the FLOP/s that torch.mm reaches beside them which the
library reaches, "time of library" the time of Encode Image Prompt divided by that of the library, both packed.

The second table is about EVA02-CLIP-L-336: the library and timm, image_embeds and the hidden states that PuLID reads of
the same pixel values.

The last line is about large references: the time of Encode Image Prompt for pictures of 1024x1024, divided by that of
the library's encoder for their pixel values, which are ready.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from parts import host

WANT = ("image_embeds", "penultimate", "last")
SHAPES = {  # name: width, layers, heads, mlp, patch, projection
    "ViT-B/32": (768, 12, 12, 3072, 32, 512),
    "ViT-L/14": (1024, 24, 16, 4096, 14, 768),
    "ViT-H/14": (1280, 32, 16, 5120, 14, 1024),
}

LARGE, LARGE_SIDE = "ViT-L/14", 1024
EVA, EVA_SIDE, EVA_BLOCKS = "eva02_large_patch14_clip_336", 336, (4, 8, 12, 16, 20)


def arguments():
    parser = host.arguments(__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--repeats", type=int, help="of every measurement; default by size")
    return parser.parse_args()


OPTIONS = arguments()
FOLDER = tempfile.TemporaryDirectory()
host.start(OPTIONS, base_directory=FOLDER.name)

import comfy.clip_vision  # noqa: E402
import folder_paths  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402
from parts.workloads import encode_node, model_name  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from image_prompt import clip_vision  # noqa: E402

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Candidates = dict[str, Callable[[torch.Tensor], object]]


def config_of(name: str) -> dict[str, object]:
    width, layers, heads, mlp, patch, projection = SHAPES[name]
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": mlp,
        "patch_size": patch,
        "projection_dim": projection,
        "image_size": 224,
        "hidden_act": "gelu" if name == "ViT-H/14" else "quick_gelu",
    }


def random_reference(name: str) -> transformers.CLIPVisionModelWithProjection:
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(**config_of(name), attn_implementation="sdpa")
    return transformers.CLIPVisionModelWithProjection(config).eval().requires_grad_(False)


def core(name: str, sd: dict[str, torch.Tensor]) -> comfy.clip_vision.ClipVisionModel:
    """Built from the configuration: core's own detection refuses B/32."""
    encoder = comfy.clip_vision.ClipVisionModel(
        {**config_of(name), "num_channels": 3, "layer_norm_eps": 1e-5, "model_type": "clip_vision_model"}
    )
    encoder.load_sd(sd)
    return encoder


def candidates(name: str) -> tuple[Candidates, dict[str, float], clip_vision.VisionEncoder]:
    """Everything that is to be timed; how near bf16 is to fp32, as the lowest cosine of each feature; ours in bf16."""
    reference = random_reference(name)
    sd = reference.state_dict()
    path = Path(folder_paths.models_dir) / "clip_vision" / model_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(sd, path)
    full, half = (clip_vision.load_encoder(sd, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    clip_vision.pack_weights(full)
    clip_vision.pack_weights(half)
    reference_half = random_reference(name).to(torch.bfloat16)
    core_encoder = core(name, sd)
    config = full.config

    def ours(encoder: clip_vision.VisionEncoder) -> Callable[[torch.Tensor], object]:
        return lambda images: clip_vision.encode(encoder, images, want=WANT)

    def theirs(model: transformers.CLIPVisionModelWithProjection) -> Callable[[torch.Tensor], object]:
        def run(images: torch.Tensor) -> object:
            pixel_values = clip_vision.preprocess(images, 224, config.mean, config.std)
            return model(pixel_values.to(model.dtype), output_hidden_states=True)

        return run

    images = torch.rand(2, 224, 224, 3)
    one, two = (clip_vision.encode(encoder, images, want=WANT) for encoder in (full, half))
    cosines = {want: F.cosine_similarity(one.select(want), two.select(want), dim=-1).min().item() for want in WANT}
    return (
        {
            "node fp32": encode_node(name, "fp32"),
            "node bf16": encode_node(name, "bf16"),
            "ours fp32": ours(full),
            "ours bf16": ours(half),
            "transformers fp32": theirs(reference),
            "transformers bf16": theirs(reference_half),
            "core": core_encoder.encode_image,
        },
        cosines,
        half,
    )


def flops(name: str) -> float:
    """The FLOPs of encoding one picture."""
    width, layers, _, mlp, patch, projection = SHAPES[name]
    tokens = (224 // patch) ** 2 + 1
    per_layer = 2 * tokens * (4 * width**2 + 2 * width * mlp) + 4 * tokens**2 * width
    return layers * per_layer + 2 * (tokens - 1) * 3 * patch**2 * width + 2 * width * projection


def matmul_rate(dtype: torch.dtype) -> float:
    """The FLOP/s that torch.mm reaches, as the median of several calls."""
    a, b = torch.randn(2056, 1024, dtype=dtype), torch.randn(1024, 4096, dtype=dtype)
    return 2 * 2056 * 1024 * 4096 / statistics.median(host.seconds(lambda: torch.mm(a, b)) for _ in range(7))


def pictures(batch: int) -> torch.Tensor:
    return torch.rand(batch, 224, 224, 3)


def measure(
    functions: Candidates, batch: int, repeats: int, made: Callable[[int], torch.Tensor] = pictures
) -> dict[str, float]:
    """Pictures per second of each, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        images = made(batch)  # new ones: the node does not encode known pictures again
        for name, function in functions.items():
            times[name].append(host.seconds(lambda: function(images)))
    return {name: batch / statistics.median(each) for name, each in times.items()}


def large_references(node: Callable[[torch.Tensor], object], encoder: clip_vision.VisionEncoder, count: int) -> str:
    """How much longer the node takes with large pictures than the encoder does with what it reads of them."""
    config, times = encoder.config, dict[str, list[float]](node=[], encoder=[])
    for _ in range(OPTIONS.repeats or 3):
        images = torch.rand(count, LARGE_SIDE, LARGE_SIDE, 3)
        pixel_values = clip_vision.preprocess(images, config.image_size, config.mean, config.std)
        times["node"].append(host.seconds(lambda: node(images)))
        times["encoder"].append(host.seconds(lambda: clip_vision.encode_pixels(encoder, pixel_values, want=WANT)))
    seconds = {name: statistics.median(each) for name, each in times.items()}
    return (
        f"{LARGE} bf16, {count} references of {LARGE_SIDE}x{LARGE_SIDE}: node {seconds['node']:.2f} s, "
        f"encoder on ready pixels {seconds['encoder']:.2f} s, ratio {seconds['node'] / seconds['encoder']:.2f}"
    )


def eva_candidates() -> Candidates:
    """EVA02-CLIP-L-336 as ours and as timm's."""
    torch.manual_seed(0)
    functions: Candidates = {}
    for name, dtype in DTYPES.items():
        reference = timm.create_model(EVA).eval().requires_grad_(False).to(dtype)
        encoder = clip_vision.load_encoder(reference.state_dict(), dtype=dtype)
        clip_vision.pack_weights(encoder)
        functions[f"ours {name}"] = partial(
            clip_vision.encode_pixels, encoder, want=("image_embeds",), hidden_layers=EVA_BLOCKS
        )
        functions[f"timm {name}"] = timm_features(reference, dtype)
    return functions


def timm_features(model: torch.nn.Module, dtype: torch.dtype) -> Callable[[torch.Tensor], object]:
    states: list[torch.Tensor] = []
    for number in EVA_BLOCKS:
        model.blocks[number - 1].register_forward_hook(lambda block, args, output: states.append(output))

    def run(pixel_values: torch.Tensor) -> object:
        states.clear()
        return model(pixel_values.to(dtype)), states

    return run


def eva_rows(batches: list[int]) -> None:
    print("\n| images/s | batch | dtype | library | timm | library / timm |\n|---|---|---|---|---|---|", flush=True)
    functions = eva_candidates()
    measure(functions, 1, 1, eva_pixels)  # warm up
    for batch in batches:
        speed = measure(functions, batch, OPTIONS.repeats or 3, eva_pixels)
        for dtype in DTYPES:
            ours, theirs = speed[f"ours {dtype}"], speed[f"timm {dtype}"]
            print(
                f"| EVA02-CLIP-L-336 | {batch} | {dtype} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |",
                flush=True,
            )


def eva_pixels(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, EVA_SIDE, EVA_SIDE)


def repeats_for(name: str, batch: int) -> int:
    """How often to measure: less often where one round takes minutes."""
    work = flops(name) * batch / 1e12
    return OPTIONS.repeats or (5 if work < 0.5 else 3 if work < 2 else 1)


def main() -> None:
    names = OPTIONS.shapes or list(SHAPES)[: 2 if OPTIONS.quick else 3]
    batches = OPTIONS.batches or ([1, 8] if OPTIONS.quick else [1, 8, 32])
    rate = {name: matmul_rate(dtype) for name, dtype in DTYPES.items()}
    print(
        f"{OPTIONS.threads} threads, torch {torch.__version__}; torch.mm: "
        + ", ".join(f"{dtype} {value / 1e9:.0f} GFLOP/s" for dtype, value in rate.items())
        + "\n"
    )
    print(
        "| images/s | batch | dtype | node | library | transformers | core | node / transformers | node / core | ",
        end="",
    )
    print("time of library | of matmul |\n|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    nearness, large = {}, ""
    with torch.no_grad():
        for name in names:
            functions, nearness[name], half = candidates(name)
            measure(functions, 1, 1)  # warm up
            for batch in batches:
                speed = measure(functions, batch, repeats_for(name, batch))
                for dtype in rate:
                    node, ours, theirs = (speed[f"{kind} {dtype}"] for kind in ("node", "ours", "transformers"))
                    print(
                        f"| {name} | {batch} | {dtype} | {node:.2f} | {ours:.2f} | {theirs:.2f} | "
                        f"{speed['core']:.2f} | {node / theirs:.2f} | {node / speed['core']:.2f} | "
                        f"{ours / node:.2f} | {ours * flops(name) / rate[dtype]:.2f} |",
                        flush=True,
                    )
            if name == LARGE:
                large = large_references(functions["node bf16"], half, 16 if OPTIONS.quick else 64)
            del functions, half
            gc.collect()
        eva_rows(batches[:2])
    print(
        "\nLowest cosine similarity of bf16 to fp32 features: "
        + "; ".join(
            f"{name} " + ", ".join(f"{want} {value:.5f}" for want, value in each.items())
            for name, each in nearness.items()
        )
    )
    print(large)


if __name__ == "__main__":
    main()
