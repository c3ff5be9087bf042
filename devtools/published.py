"""Model files in the published layouts, for tests, benchmarks and the demo: their keys and shapes, and values for them.

`tests/checkpoints` has the keys and shapes of published files; the builders below give the same keys in any size.
`fill` gives them values, `save` writes them, and `write_header` writes a file of full length whose data are a hole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from .stages import ROOT

Shapes = dict[str, tuple[int, ...]]

CHECKPOINTS = ROOT / "tests" / "checkpoints"
VIT_H = "CLIP-ViT-H-14-laion2B-s32B-b79K"
VIT_L = "clip-vit-large-patch14"
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1}


# ------------------------------------------------------------------------------------------------------ as published


@cache
def layouts() -> dict[str, Any]:
    """{file in tests/checkpoints: its keys and shapes by part, and what it is}"""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(CHECKPOINTS.glob("*.json"))}


def shapes(layout: str) -> Shapes:
    """The shapes of a file in tests/checkpoints; nested parts are joined with dots, part "" is the top level."""
    return {
        f"{part}.{key}" if part else key: tuple(shape)
        for part, tensors in layouts()[layout]["tensors"].items()
        for key, shape in tensors.items()
    }


def bigger(layout: str = VIT_H) -> Shapes:
    """The shapes of CLIP ViT-bigG/14, made from those of ViT-H/14: the names are the same."""
    tensors: Shapes = {}
    for layer in range(48):
        for key, shape in shapes(layout).items():
            if "layers." not in key or "layers.0." in key:
                tensors[key.replace("layers.0.", f"layers.{layer}.")] = tuple(
                    {1280: 1664, 5120: 8192, 1024: 1280}.get(size, size) for size in shape
                )
    return tensors


def headless(tensors: Shapes) -> Shapes:
    """An encoder without its visual projection, as some people save it who need hidden states alone."""
    return {key: shape for key, shape in tensors.items() if key != "visual_projection.weight"}


# ----------------------------------------------------------------------------------------------------- of any size


def linear(name: str, rows: int, columns: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (rows, columns), **({f"{name}.bias": (rows,)} if bias else {})}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def base(context: int, width: int = 1024, tokens: int = 4) -> Shapes:
    """The shapes of the projection of a base adapter."""
    return linear("proj", tokens * context, width) | norm("norm", context)


def full_face(context: int, width: int = 1280) -> Shapes:
    return linear("proj.0", width, width) | linear("proj.2", context, width) | norm("proj.3", context)


def resampler(
    context: int, width: int = 1280, dim: int = 64, heads: int = 1, depth: int = 4, tokens: int = 16
) -> Shapes:
    """The shapes of the projection of a plus adapter; heads are 64 wide."""
    found: Shapes = {"latents": (1, tokens, dim), **linear("proj_in", dim, width)}
    found |= linear("proj_out", context, dim) | norm("norm_out", context)
    return found | resampler_layers("layers", dim, heads, depth)


def resampler_layers(name: str, dim: int, heads: int, depth: int, times: int = 4) -> Shapes:
    """The shapes of the layers of a resampler, whose feed-forwards are `times` as wide as its latents."""
    found: Shapes = {}
    inner = 64 * heads
    for attention, mlp in ((f"{name}.{number}.0", f"{name}.{number}.1") for number in range(depth)):
        found |= norm(f"{attention}.norm1", dim) | norm(f"{attention}.norm2", dim)
        found |= linear(f"{attention}.to_q", inner, dim, bias=False)
        found |= linear(f"{attention}.to_kv", 2 * inner, dim, bias=False)
        found |= linear(f"{attention}.to_out", dim, inner, bias=False)
        found |= norm(f"{mlp}.0", dim) | linear(f"{mlp}.1", times * dim, dim, bias=False)
        found |= linear(f"{mlp}.3", dim, times * dim, bias=False)
    return found


def time_resampler(
    context: int, width: int = 1152, dim: int = 64, heads: int = 1, depth: int = 4, tokens: int = 64
) -> Shapes:
    """The shapes of the projection of InstantX's adapter for SD3.5: a resampler to which the timestep is told."""
    found = resampler(context, width, dim, heads, depth, tokens)
    for number in range(depth):
        found |= linear(f"layers.{number}.2.1", 4 * dim, dim)
    return found | linear("time_embedding.linear_1", dim, 320) | linear("time_embedding.linear_2", dim, dim)


def identity(context: int, tokens: int = 4, hidden: int = 1024, width: int = 512) -> Shapes:
    """The shapes of the projection of a FaceID adapter; portrait adapters make 16 tokens, and InstantX's for Flux 128.

    width: of what it reads
    """
    return linear("proj.0", hidden, width) | linear("proj.2", tokens * context, hidden) | norm("norm", context)


def identity_perceiver(
    context: int,
    width: int = 1280,
    heads: int = 1,
    tokens: int = 4,
    depth: int = 4,
    hidden: int = 1024,
    times: int = 4,
) -> Shapes:
    """The shapes of the projection of a FaceID plus adapter."""
    looking = resampler(context, width, context, heads, depth)
    looking |= resampler_layers("layers", context, heads, depth, times)
    del looking["latents"]  # the tokens of the identity take their place
    return identity(context, tokens, hidden) | {f"perceiver_resampler.{key}": shape for key, shape in looking.items()}


def content_and_style(context: int, width: int = 1664, dim: int = 64, heads: int = 1, depth: int = 1) -> Shapes:
    """The shapes of the two projections of CSGO."""
    found: Shapes = {}
    for name, tokens in (("content", 4), ("style", 32)):
        shapes = resampler(context, width, dim, heads, depth, tokens)
        found |= {f"{name}.{key}": shape for key, shape in shapes.items()}
    return found


def instruct(context: int, dim: int = 64, heads: int = 1, depth: int = 2) -> Shapes:
    """The shapes of the projection of IP-Adapter-Instruct."""
    found = resampler(context, 1280, dim, heads, depth)
    for name in ("proj_new_input", "proj_prompt_input"):
        found |= linear(name, dim, 768)
    for name in ("prompt_layers", "new_input_layers"):
        found |= resampler_layers(name, dim, heads, depth, times=2)
    return found


def mapping(name: str, *widths: int) -> Shapes:
    """The shapes of three linear layers of PuLID, with norms between them."""
    found: Shapes = {}
    for number, (before, after) in enumerate(zip(widths, widths[1:])):
        found |= linear(f"{name}.{3 * number}", after, before)
        found |= norm(f"{name}.{3 * number + 1}", after) if number < 2 else {}
    return found


def pulid(context: int, hidden: int = 1024) -> Shapes:
    """The shapes of the projection of PuLID v1. hidden: between its layers."""
    found = mapping("body", 1280, hidden, hidden, 5 * context)
    for number in range(5):
        found |= mapping(f"mapping_{number}", 1024, hidden, hidden, context)
        found |= mapping(f"mapping_patch_{number}", 1024, hidden, hidden, context)
    return found


def pulid_former(
    context: int,
    dim: int = 64,
    heads: int = 1,
    tokens: int = 32,
    hidden: int = 1024,
    width: int = 1024,
    embeds: int = 768,
) -> Shapes:
    """The shapes of the projection of PuLID v1.1.

    hidden: between the layers of its mappings
    width, embeds: of the hidden states and of the embeddings of its encoder
    """
    found: Shapes = {"latents": (1, tokens, dim), "proj_out": (dim, context)}
    found |= resampler_layers("layers", dim, heads, 10)
    found |= mapping("id_embedding_mapping", 512 + embeds, hidden, hidden, 5 * dim)
    for number in range(5):
        found |= mapping(f"mapping_{number}", width, hidden, hidden, dim)
    return found


def character(
    context: int = 4096, width: int = 2688, dim: int = 1280, heads: int = 20, depth: int = 4, tokens: int = 1024
) -> Shapes:
    """The shapes of the projection of InstantCharacter. width: of the states of both encoders together"""
    looking = time_resampler(context, width, dim, heads, depth, tokens)
    found = {f"resampler.{key}": shape for key, shape in looking.items()}
    for block in (f"cross_{kind}_blocks.{number}" for kind in ("layer", "scale") for number in range(depth)):
        for attention in (f"{block}.attn1", f"{block}.attn2"):
            for letter in "qkv":
                found |= linear(f"{attention}.to_{letter}", width, width, bias=False)
            found |= linear(f"{attention}.to_out.0", width, width)
        for number in (1, 2, 3):
            found |= norm(f"{block}.norm{number}", width)
        found |= linear(f"{block}.ff.net.0.proj", 8 * width, width) | linear(f"{block}.ff.net.2", width, 4 * width)
    for name in ("proj", "proj_cross_layer", "proj_cross_scale"):
        found |= linear(f"{name}.fc1", 2 * width, width) | linear(f"{name}.fc2", width, 2 * width)
    return found


def key_value(width: int, context: int, bias: bool = False) -> Shapes:
    """The shapes of a layer, without the number before its keys."""
    return linear("to_k_ip", width, context, bias) | linear("to_v_ip", width, context, bias)


def character_layer(width: int = 3072, context: int = 4096) -> Shapes:
    """The shapes of a layer of InstantCharacter."""
    return key_value(width, context, bias=True) | {f"norm_ip_{letter}.scale": (128,) for letter in "qk"}


def timed_layer(width: int, context: int, embedding: int) -> Shapes:
    """The shapes of a layer of InstantX's adapter for SD3.5. embedding: the width of that of the timestep"""
    norms = {f"{name}.weight": (64,) for name in ("norm_q", "norm_k", "norm_ip_k")}
    return key_value(width, context) | norms | linear("norm_ip.linear", 2 * context, embedding)


def gated_layer(width: int, context: int) -> Shapes:
    """The shapes of a layer of an adapter for Anima."""
    return key_value(width, context, bias=True) | linear("gate", width, width)


def perceiver_layer(width: int, context: int, hidden: int) -> Shapes:
    """The shapes of a layer of PuLID for Flux. hidden: the width of the hidden states that it adds to"""
    found = norm("norm1", context) | norm("norm2", hidden) | linear("to_q", width, hidden, bias=False)
    return found | linear("to_kv", 2 * width, context, bias=False) | linear("to_out", hidden, width, bias=False)


def compressor(tokens: int, width: int = 768, depth: int = 2) -> Shapes:
    """The shapes of the network of an adapter for Anima that makes fewer tokens of hidden states."""
    found: Shapes = {"siglip_compressor.queries": (tokens, width)}
    for layer in (f"siglip_compressor.layers.{number}" for number in range(depth)):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj", "self_out"):
            found |= linear(f"{layer}.{name}", width, width, bias=False)
        found |= linear(f"{layer}.self_qkv", 3 * width, width, bias=False)
        for name in ("norm_q", "norm_kv", "norm_self", "norm_ffn"):
            found |= norm(f"{layer}.{name}", width)
        found |= linear(f"{layer}.ffn.0", 4 * width, width) | linear(f"{layer}.ffn.2", width, 4 * width)
    return found | norm("siglip_compressor.final_norm", width)


def token_mixer(width: int = 768) -> Shapes:
    """The shapes of the network of an adapter for Anima in which the tokens attend to each other."""
    found = norm("ip_self_attn.norm1", width) | norm("ip_self_attn.norm2", width)
    found |= linear("ip_self_attn.qkv", 3 * width, width, bias=False)
    found |= linear("ip_self_attn.out_proj", width, width, bias=False)
    return found | linear("ip_self_attn.ffn.0", 4 * width, width) | linear("ip_self_attn.ffn.2", width, 4 * width)


def adapter(projection: Shapes, widths: Sequence[int], context: int) -> Shapes:
    """The shapes of a whole IP-Adapter. widths: those of its layers, in file order."""
    found = {f"image_proj.{key}": shape for key, shape in projection.items()}
    for number, width in enumerate(widths):
        for letter in "kv":
            found |= linear(f"ip_adapter.{2 * number + 1}.to_{letter}_ip", width, context, bias=False)
    return found


def lora(widths: Sequence[int], context: int, rank: int = 128) -> Shapes:
    """The shapes of the LoRA in a FaceID file, which is for all attentions. widths: as `adapter` takes them."""
    found: Shapes = {}
    for number, width in enumerate(widths):
        for attention, read in ((2 * number, width), (2 * number + 1, context)):
            for name, columns in (("q", width), ("k", read), ("v", read), ("out", width)):
                key = f"ip_adapter.{attention}.to_{name}_lora"
                found |= linear(f"{key}.down", rank, columns, bias=False) | linear(f"{key}.up", width, rank, bias=False)
    return found


def xlabs(projection: Shapes, widths: Sequence[int], context: int) -> Shapes:
    """A whole IP-Adapter for Flux; widths: of its double blocks."""
    found = {f"ip_adapter_proj_model.{key}": shape for key, shape in projection.items()}
    for number, width in enumerate(widths):
        for letter in "kv":
            found |= linear(f"double_blocks.{number}.processor.ip_adapter_double_stream_{letter}_proj", width, context)
    return found


def numbered(projection: Shapes, layers: Sequence[Shapes]) -> Shapes:
    """A whole adapter for a transformer, whose layers are numbered from 0."""
    found = {f"image_proj.{key}": shape for key, shape in projection.items()}
    for number, layer in enumerate(layers):
        found |= {f"ip_adapter.{number}.{key}": shape for key, shape in layer.items()}
    return found


def anima(width: int, blocks: int = 28, image: int = 768, text: int = 1024, rank: int = 4) -> Shapes:
    """A whole IP-Adapter for Anima, with its LoRA. image, text: the widths of what its blocks read"""
    found: Shapes = {}
    for block in (f"blocks.{number}" for number in range(blocks)):
        found |= linear(f"{block}.ip_k_proj", width, image) | linear(f"{block}.ip_v_proj", width, image)
        found |= linear(f"{block}.adaln_ip.1", width, width)
        for module, (rows, columns) in anima_weights(width, text).items():
            key = f"lora.base_model.model.{block}.{module}"
            found |= {f"{key}.lora_A.weight": (rank, columns), f"{key}.lora_B.weight": (rows, rank)}
    return found


def anima_weights(width: int, text: int = 1024) -> dict[str, tuple[int, int]]:
    """The shapes of the weights in a block of Anima that the LoRA of its adapter changes."""
    found = {f"{kind}_attn.{name}_proj": (width, width) for kind in ("self", "cross") for name in ("q", "output")}
    found |= {f"self_attn.{name}_proj": (width, width) for name in "kv"}
    found |= {f"cross_attn.{name}_proj": (width, text) for name in "kv"}
    return found | {"mlp.layer1": (4 * width, width), "mlp.layer2": (width, 4 * width)}


def flux_model(width: int = 128, double: int = 19, single: int = 38) -> Shapes:
    """The shapes of a narrow Flux.1 that ComfyUI's own loader takes: its heads are 128 wide."""
    found = linear("img_in", width, 64) | linear("txt_in", width, 4096)
    for name, read in (("time_in", 256), ("guidance_in", 256), ("vector_in", 768)):
        found |= linear(f"{name}.in_layer", width, read) | linear(f"{name}.out_layer", width, width)
    for block in (f"double_blocks.{number}.{side}" for number in range(double) for side in ("img", "txt")):
        found |= linear(f"{block}_mod.lin", 6 * width, width) | query_and_key(f"{block}_attn.norm")
        found |= linear(f"{block}_attn.qkv", 3 * width, width) | linear(f"{block}_attn.proj", width, width)
        found |= linear(f"{block}_mlp.0", 4 * width, width) | linear(f"{block}_mlp.2", width, 4 * width)
    for block in (f"single_blocks.{number}" for number in range(single)):
        found |= linear(f"{block}.modulation.lin", 3 * width, width) | query_and_key(f"{block}.norm")
        found |= linear(f"{block}.linear1", 7 * width, width) | linear(f"{block}.linear2", width, 5 * width)
    return found | linear("final_layer.linear", 64, width) | linear("final_layer.adaLN_modulation.1", 2 * width, width)


def query_and_key(name: str) -> Shapes:
    return {f"{name}.query_norm.weight": (128,), f"{name}.key_norm.weight": (128,)}


def encoder(width: int, depth: int, mlp: int, projection: int, patch: int, size: int = 224) -> Shapes:
    """The shapes of transformers' CLIPVisionModelWithProjection."""
    found: Shapes = {
        "vision_model.embeddings.class_embedding": (width,),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "vision_model.embeddings.position_embedding.weight": ((size // patch) ** 2 + 1, width),
        **norm("vision_model.pre_layrnorm", width),
        **norm("vision_model.post_layernorm", width),
        **linear("visual_projection", projection, width, bias=False),
    }
    for layer in (f"vision_model.encoder.layers.{number}" for number in range(depth)):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= linear(f"{layer}.self_attn.{name}", width, width)
        found |= norm(f"{layer}.layer_norm1", width) | norm(f"{layer}.layer_norm2", width)
        found |= linear(f"{layer}.mlp.fc1", mlp, width) | linear(f"{layer}.mlp.fc2", width, mlp)
    return found


def eva(width: int, depth: int, mlp: int, projection: int, patch: int, size: int) -> Shapes:
    """The shapes of the picture part of EVA-CLIP."""
    found: Shapes = {
        "visual.cls_token": (1, 1, width),
        "visual.pos_embed": (1, (size // patch) ** 2 + 1, width),
        "visual.patch_embed.proj.weight": (width, 3, patch, patch),
        "visual.patch_embed.proj.bias": (width,),
        **norm("visual.norm", width),
        **linear("visual.head", projection, width),
    }
    for block in (f"visual.blocks.{number}" for number in range(depth)):
        found |= {f"{block}.attn.q_bias": (width,), f"{block}.attn.v_bias": (width,)}
        for name in ("q_proj", "k_proj", "v_proj"):
            found |= linear(f"{block}.attn.{name}", width, width, bias=False)
        found |= norm(f"{block}.attn.inner_attn_ln", width) | linear(f"{block}.attn.proj", width, width)
        found |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width) | norm(f"{block}.mlp.ffn_ln", mlp)
        found |= linear(f"{block}.mlp.w1", mlp, width) | linear(f"{block}.mlp.w2", mlp, width)
        found |= linear(f"{block}.mlp.w3", width, mlp)
    return found


# ----------------------------------------------------------------------------------------------------------- values


def fill(
    tensors: Shapes, seed: int, *, spread: float = 0.0, louder: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """Equal values on every run: normal weights scaled by their fan-in, norms around 1 and biases around 0.

    spread: how far from 1 and 0. louder: a factor for weights with a word in their key.
    """
    generator = torch.Generator().manual_seed(seed)
    return {key: _value(key, tensors[key], generator, spread, louder or {}) for key in sorted(tensors)}


def _value(
    key: str, shape: tuple[int, ...], generator: torch.Generator, spread: float, louder: Mapping[str, float]
) -> Tensor:
    if len(shape) == 1 and "class_embedding" not in key:
        middle = torch.full(shape, float(key.endswith("weight")))
        return middle + spread * torch.randn(shape, generator=generator) if spread else middle
    fan_in = 1 if key.endswith("embedding.weight") and len(shape) == 2 else math.prod(shape[1:])
    factor = next((factor for word, factor in louder.items() if word in key), 1.0)
    return torch.randn(shape, generator=generator) * factor / fan_in**0.5


def halves(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.half() for key, tensor in tensors.items()}


def nested(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """{"image_proj": {...}, "ip_adapter": {...}} as in a published .bin, of the flat keys of a .safetensors."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = tensor
    return parts


# ------------------------------------------------------------------------------------------------------------ files


def save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    """Write a safetensors file. An interrupted run leaves no half file under the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata)
    part.replace(path)
    return path


def write_header(path: Path, tensors: Shapes, dtype: str = "F16", **metadata: str) -> Path:
    """Write a safetensors file of full length, of which only the header takes room on the disk."""
    table: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for key, shape in tensors.items():
        start, end = end, end + math.prod(shape) * BYTES[dtype]
        table[key] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(table).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path
