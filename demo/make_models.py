"""Write the stand-ins: a small image encoder and three small IP-Adapters, in the layouts of the published files.

    python demo/make_models.py MODELS_FOLDER

The weights are random and seeded: equal bytes on every run. The text context widths are the true ones, 768 and 2048;
the layer widths are those of the narrow UNets in `nodes/unet.py`.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

Shapes = dict[str, tuple[int, ...]]

ENCODER_WIDTH, ENCODER_DEPTH, ENCODER_MLP, PATCH, IMAGE_SIZE, PROJECTION = 64, 3, 128, 14, 224, 32
VISION_CONFIG = {"name": "demo ViT", "heads": 4, "activation": "gelu"}
SD15_LAYERS = [32] * 2 + [64] * 2 + [128] * 5 + [64] * 3 + [32] * 3 + [128]  # down, up, middle block last
SDXL_LAYERS = [32] * 4 + [64] * 50 + [32] * 6 + [64] * 10


def linear(name: str, rows: int, columns: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (rows, columns), **({f"{name}.bias": (rows,)} if bias else {})}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def encoder(width: int = ENCODER_WIDTH) -> Shapes:
    """CLIPVisionModelWithProjection."""
    positions = (IMAGE_SIZE // PATCH) ** 2 + 1
    shapes: Shapes = {
        "vision_model.embeddings.class_embedding": (width,),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, PATCH, PATCH),
        "vision_model.embeddings.position_embedding.weight": (positions, width),
        **norm("vision_model.pre_layrnorm", width),
        **norm("vision_model.post_layernorm", width),
        **linear("visual_projection", PROJECTION, width, bias=False),
    }
    for layer in (f"vision_model.encoder.layers.{number}" for number in range(ENCODER_DEPTH)):
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{layer}.self_attn.{projection}", width, width)
        shapes |= norm(f"{layer}.layer_norm1", width) | norm(f"{layer}.layer_norm2", width)
        shapes |= linear(f"{layer}.mlp.fc1", ENCODER_MLP, width) | linear(f"{layer}.mlp.fc2", width, ENCODER_MLP)
    return shapes


def resampler(context: int, width: int = 64, depth: int = 4, tokens: int = 16) -> Shapes:
    """The projection of the plus adapters, one head of 64."""
    shapes: Shapes = {"latents": (1, tokens, width), **linear("proj_in", width, ENCODER_WIDTH)}
    shapes |= linear("proj_out", context, width) | norm("norm_out", context)
    for number in range(depth):
        attention, mlp = f"layers.{number}.0", f"layers.{number}.1"
        shapes |= norm(f"{attention}.norm1", width) | norm(f"{attention}.norm2", width)
        shapes |= linear(f"{attention}.to_q", 64, width, bias=False)
        shapes |= linear(f"{attention}.to_kv", 128, width, bias=False)
        shapes |= linear(f"{attention}.to_out", width, 64, bias=False)
        shapes |= norm(f"{mlp}.0", width) | linear(f"{mlp}.1", 4 * width, width, bias=False)
        shapes |= linear(f"{mlp}.3", width, 4 * width, bias=False)
    return shapes


def image_projection(context: int, tokens: int = 4) -> Shapes:
    """The projection of the base adapters."""
    return linear("proj", tokens * context, PROJECTION) | norm("norm", context)


def adapter(projection: Shapes, layers: list[int], context: int) -> Shapes:
    shapes = {f"image_proj.{key}": shape for key, shape in projection.items()}
    for index, width in enumerate(layers):
        for key in ("to_k_ip", "to_v_ip"):
            shapes |= linear(f"ip_adapter.{2 * index + 1}.{key}", width, context, bias=False)
    return shapes


FILES = {
    "clip_vision/demo-encoder.safetensors": (encoder(), {"vision_config": json.dumps(VISION_CONFIG)}),
    "ipadapter/demo-ip-adapter-plus_sd15.safetensors": (adapter(resampler(768), SD15_LAYERS, 768), None),
    "ipadapter/demo-ip-adapter-plus_sdxl.safetensors": (adapter(resampler(2048), SDXL_LAYERS, 2048), None),
    "ipadapter/demo-ip-adapter_sdxl.safetensors": (adapter(image_projection(2048), SDXL_LAYERS, 2048), None),
}


def fill(shapes: Shapes, seed: int) -> dict[str, torch.Tensor]:
    """Normal weights scaled by their fan-in, norms at one, biases at zero; the keys and values of images louder."""
    generator = torch.Generator().manual_seed(seed)
    return {key: random_tensor(key, shape, generator).half() for key, shape in sorted(shapes.items())}


def random_tensor(key: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if len(shape) == 1 and "class_embedding" not in key:
        return torch.ones(shape) if key.endswith("weight") else torch.zeros(shape)
    fan_in = 1 if key.endswith("embedding.weight") and len(shape) == 2 else torch.Size(shape[1:]).numel()
    return torch.randn(shape, generator=generator) * (2.0 if "_ip." in key else 1.0) / fan_in**0.5


def main(folder: Path) -> None:
    for seed, (name, (shapes, metadata)) in enumerate(FILES.items()):
        write(folder / name, shapes, seed, metadata)


def write(path: Path, shapes: Shapes, seed: int, metadata: dict[str, str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")  # an interrupted run leaves no half file under the final name
    save_file(fill(shapes, seed), part, metadata)
    part.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
