"""Small random models of the true topologies, adapters and encoders: seeded, and built without files."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from unittest import mock

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sample
import comfy.supported_models
import torch
from comfy.model_patcher import ModelPatcher

from image_prompt.clip_vision import VisionEncoder, load_encoder
from image_prompt.demo.nodes.topologies import unet_config
from image_prompt.devtools import published
from image_prompt.devtools.published import Shapes
from image_prompt.ip_adapter import load_adapter
from image_prompt.nodes.applying.hosts.unet import cross_attentions
from image_prompt.nodes.encoding.encoder import ImageEncoder
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

TEXTS = {  # widths of the tokens and of the pooled text
    "SD1.5": (768, 768),
    "SDXL": (2048, 1280),
    "Flux": (4096, 768),
    "Chroma": (4096, 768),
    "Chroma Radiance": (4096, 768),
    "SD3.5 Large": (4096, 2048),
    "Anima": (1024, 0),
}
LENGTH = 20  # tokens of a text; as long as those of CLIP they would be half of the work of a tiny model
CHANNELS = {  # of latents, and frames; others have 4
    "Flux": (16,),
    "Chroma": (16,),
    "Chroma Radiance": (3,),
    "SD3.5 Large": (16,),
    "Anima": (16, 1),
}

UNETS: dict[str, tuple[type, dict[str, Any], dict[str, int]]] = {
    # class, changes to the published topology, what fixes the heads
    "SD1.5": (comfy.supported_models.SD15, {}, {"num_heads": 4}),
    "SDXL": (comfy.supported_models.SDXL, {"channel_mult": [1, 2, 2]}, {"num_head_channels": 16}),
}


def fill(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fill ComfyUI's layers, which have no values yet: norms 1, biases 0, weights scaled by their fan-in."""
    parameters = dict(module.named_parameters())
    matrices = {name: parameter for name, parameter in parameters.items() if parameter.ndim > 1}
    values = weights(seed, *(parameter.shape for parameter in matrices.values()))
    for parameter, value in zip(matrices.values(), values, strict=True):
        parameter.data = value.to(parameter.dtype, copy=True)
    for name in parameters.keys() - matrices.keys():
        parameters[name].data.fill_(float(name.endswith("weight")))
    return module


@cache
def weights(seed: int, *shapes: torch.Size) -> list[torch.Tensor]:
    """Random weights, scaled by their fan-in. Models of a test module share them; each has a copy."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * 0.7 / shape[1:].numel() ** 0.5 for shape in shapes]


def unet(
    base: str, seed: int = 0, dtype: torch.dtype = torch.float32, compute: torch.dtype | None = None
) -> ModelPatcher:
    kind, changes, heads = UNETS[base]
    config = kind(unet_config(base, 32, dtype=dtype, **changes))
    config.unet_config.update(heads)  # the class would set the published head counts
    config.set_inference_dtype(dtype, compute)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.CoreModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def conditions(base: str, seed: int = 1, count: int = 2) -> list[list[Any]]:
    context, pooled = TEXTS[base]
    generator = torch.Generator().manual_seed(seed)
    return [
        [
            [
                torch.randn(1, LENGTH, context, generator=generator) * 0.2,
                {"pooled_output": torch.randn(1, pooled, generator=generator) * 0.2},
            ]
        ]
        for _ in range(count)
    ]


def sample(
    model: ModelPatcher,
    base: str,
    *,
    steps: int = 2,
    cfg: float = 3.0,
    size: tuple[int, int] = (8, 8),
    batch: int = 1,
    conds: list[list[Any]] | None = None,
    **options: Any,
) -> torch.Tensor:
    positive, negative = conds or conditions(base)
    latent = torch.zeros(batch, *CHANNELS.get(base, (4,)), *size)
    noise = comfy.sample.prepare_noise(latent, 3)
    return comfy.sample.sample(
        model, noise, steps, cfg, "euler", "simple", positive, negative, latent, disable_pbar=True, seed=3, **options
    )


def file_for(model: ModelPatcher, projection: Callable[[int], Shapes], seed: int = 5) -> dict[str, torch.Tensor]:
    """An IP-Adapter with the published keys, as wide as the model is, around the projection for its context."""
    attentions = sorted(
        cross_attentions(model.model.diffusion_model),
        key=lambda found: ("input", "output", "middle").index(found[0].kind),
    )
    context, widths = attentions[0][1].to_k.in_features, [block.width for block, _ in attentions]
    return published.fill(published.adapter(projection(context), widths, context), seed, louder={"to_v_ip": 3.0})


def base_file(model: ModelPatcher, tokens: int = 4, embed: int = 24, seed: int = 5) -> dict[str, torch.Tensor]:
    return file_for(model, lambda context: published.base(context, embed, tokens), seed)


def wrapped(file: dict[str, torch.Tensor], family: str = "") -> ImagePromptAdapter:
    return ImagePromptAdapter(load_adapter(file, family=family, ops=comfy.ops.manual_cast), "tiny.safetensors")


def adapter(model: ModelPatcher, **options: Any) -> ImagePromptAdapter:
    return wrapped(base_file(model, **options))


def plus_adapter(model: ModelPatcher, embed: int = 32, seed: int = 5) -> ImagePromptAdapter:
    """An adapter with a resampler of one layer, which reads the penultimate hidden states."""
    return wrapped(file_for(model, lambda context: published.resampler(context, embed, depth=1), seed))


FLUX: dict[str, Any] = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": 2,
    "context_in_dim": 4096,
    "hidden_size": 32,
    "mlp_ratio": 4.0,
    "num_heads": 2,
    "depth": 19,
    "depth_single_blocks": 2,
    "axes_dim": [4, 6, 6],
    "theta": 10000,
    "qkv_bias": True,
    "vec_in_dim": 768,
    "txt_ids_dims": [],
}


# one head as wide as the published ones, in as many blocks
WHOLE_FLUX: dict[str, Any] = {
    "hidden_size": 128,
    "num_heads": 1,
    "mlp_ratio": 1.0,
    "depth_single_blocks": 38,
    "axes_dim": [16, 56, 56],
}


def flux(
    kind: type = comfy.supported_models.Flux,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    compute: torch.dtype | None = None,
    **changes: Any,
) -> ModelPatcher:
    """A narrow Flux.1, or a model that is built like it; the heads are 16 wide."""
    return _dit(kind(FLUX | {"guidance_embed": True} | changes), seed, dtype, compute)


def _dit(
    config: Any, seed: int = 0, dtype: torch.dtype = torch.float32, compute: torch.dtype | None = None
) -> ModelPatcher:
    config.set_inference_dtype(dtype, compute)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.CoreModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def flux2() -> ModelPatcher:
    """To be refused: built like Flux.1, for another text encoder."""
    changes = {"context_in_dim": 64, "vec_in_dim": None, "depth": 1, "global_modulation": True, "guidance_embed": False}
    return flux(comfy.supported_models.Flux2, **changes)


CHROMA: dict[str, Any] = {"in_channels": 64, "out_channels": 64, "in_dim": 64, "hidden_dim": 16, "n_layers": 1}
RADIANCE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "patch_size": 16,
    "nerf_hidden_size": 8,
    "nerf_mlp_ratio": 1,
    "nerf_depth": 1,
    "nerf_max_freqs": 2,
    "nerf_tile_size": 512,
    "nerf_final_head_type": "conv",
    "nerf_embedder_dtype": torch.float32,
    "use_x0": False,
    "use_sequential_txt_ids": False,
}


def chroma(radiance: bool = False, **changes: Any) -> ModelPatcher:
    """A narrow Chroma of as many blocks as the published one, or Chroma Radiance, whose latents are pictures."""
    sizes = FLUX | WHOLE_FLUX | CHROMA | (RADIANCE if radiance else {}) | changes
    kind = comfy.supported_models.ChromaRadiance if radiance else comfy.supported_models.Chroma
    return _dit(kind(sizes | {"out_dim": sizes["hidden_size"]}))


ANIMA: dict[str, Any] = {
    "image_model": "anima",
    "max_img_h": 240,
    "max_img_w": 240,
    "max_frames": 128,
    "in_channels": 16,
    "out_channels": 16,
    "patch_spatial": 2,
    "patch_temporal": 1,
    "model_channels": 48,
    "num_blocks": 28,
    "num_heads": 2,
    "crossattn_emb_channels": 1024,
    "pos_emb_cls": "rope3d",
    "pos_emb_learnable": True,
    "use_adaln_lora": True,
    "adaln_lora_dim": 8,
    "rope_h_extrapolation_ratio": 4.0,
    "rope_w_extrapolation_ratio": 4.0,
    "rope_enable_fps_modulation": False,
}


def anima(
    seed: int = 0, dtype: torch.dtype = torch.float32, compute: torch.dtype | None = None, **changes: Any
) -> ModelPatcher:
    """A narrow Anima, whose heads are 24 wide. It is without the network for text tokens, which has one size alone."""
    with mock.patch("comfy.ldm.anima.model.LLMAdapter", lambda **_: torch.nn.Identity()):
        return _dit(comfy.supported_models.Anima(ANIMA | changes), seed, dtype, compute)


def anima_file(seed: int = 5, rank: int = 4) -> dict[str, torch.Tensor]:
    """An IP-Adapter with the keys of the published one and a LoRA, as wide as the model is."""
    shapes = published.anima(ANIMA["model_channels"], rank=rank)
    return published.fill(shapes, seed, spread=0.1, louder={"ip_v_proj": 3.0, "lora_B": 0.3})


def flux_file(model: ModelPatcher, tokens: int = 4, embed: int = 24, seed: int = 5) -> dict[str, torch.Tensor]:
    """An IP-Adapter with the keys of XLabs, as wide as the model is."""
    widths = [block.hidden_size for block in model.model.diffusion_model.double_blocks]
    shapes = published.xlabs(published.base(4096, embed, tokens), widths, 4096)
    return published.fill(shapes, seed, spread=0.1, louder={"_v_proj": 3.0})


def pulid_flux_file(model: ModelPatcher, context: int = 64, heads: int = 2, seed: int = 5) -> dict[str, torch.Tensor]:
    """An adapter with the keys of PuLID for Flux, for a model that is as wide; its heads are 128 wide."""
    transformer = model.model.diffusion_model
    projection = published.pulid_former(context, tokens=6, hidden=16, width=16, embeds=24)
    found = {f"pulid_encoder.{key}": shape for key, shape in projection.items()}
    for number in range(len(transformer.double_blocks[::2]) + len(transformer.single_blocks[::4])):
        layer = published.perceiver_layer(128 * heads, context, transformer.hidden_size)
        found |= {f"pulid_ca.{number}.{key}": shape for key, shape in layer.items()}
    return published.fill(found, seed, spread=0.1, louder={"to_out": 2.0})


def sd3(
    heads: int = 2,
    blocks: int = 38,
    norm: str | None = "rms",
    doubled: Sequence[int] = (),
    dtype: torch.dtype = torch.float32,
    compute: torch.dtype | None = None,
) -> ModelPatcher:
    """A narrow Stable Diffusion 3.5 Large; its heads are always 64 wide.

    norm: of queries and keys; None: none, as in Stable Diffusion 3
    doubled: the blocks with a second attention, as 3.5 Medium has them
    """
    text = {"in_features": 4096, "out_features": 64 * heads}
    sizes: dict[str, Any] = {
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": 2,
        "input_size": None,
        "depth": heads,
        "num_blocks": blocks,
        "adm_in_channels": 2048,
        "context_embedder_config": {"target": "torch.nn.Linear", "params": text},
        "num_patches": 16 * 16,
        "pos_embed_max_size": 16,
        "pos_embed_scaling_factor": None,
        "qk_norm": norm,
        "x_block_self_attn_layers": list(doubled),
    }
    model = _dit(comfy.supported_models.SD3(sizes), dtype=dtype, compute=compute)
    positions = model.model.diffusion_model.pos_embed
    positions.copy_(torch.randn(positions.shape, generator=torch.Generator().manual_seed(1)))
    return model


def sd3_file(model: ModelPatcher, tokens: int = 4, features: int = 24, seed: int = 5) -> dict[str, torch.Tensor]:
    """An IP-Adapter with the keys of InstantX for Stable Diffusion 3.5, as wide as the model is."""
    blocks = model.model.diffusion_model.joint_blocks
    width = model.model.diffusion_model.hidden_size
    projection = published.time_resampler(width, features, tokens=tokens)
    shapes = {f"image_proj.{key}": shape for key, shape in projection.items()}
    for number in range(len(blocks)):
        layer = published.timed_layer(width, width, 64)
        shapes |= {f"ip_adapter.{number}.{key}": shape for key, shape in layer.items()}
    return published.fill(shapes, seed, spread=0.1, louder={"to_v_ip": 3.0})


def character_file(model: ModelPatcher, width: int = 64, seed: int = 5) -> dict[str, torch.Tensor]:
    """An IP-Adapter with the keys of InstantCharacter, as wide as the model is. width: of its features"""
    transformer = model.model.diffusion_model
    blocks = [*transformer.double_blocks, *transformer.single_blocks]
    projection = published.character(width=width, dim=64, heads=1, depth=1, tokens=5)
    layers = [published.character_layer(block.hidden_size) for block in blocks]
    return published.fill(published.numbered(projection, layers), seed, spread=0.1, louder={"to_v_ip": 3.0})


def instantx_file(model: ModelPatcher, tokens: int = 3, embed: int = 24, seed: int = 5) -> dict[str, torch.Tensor]:
    """An IP-Adapter with the keys of InstantX, as wide as the model is."""
    transformer = model.model.diffusion_model
    blocks = [*transformer.double_blocks, *transformer.single_blocks]
    layers = [published.key_value(block.hidden_size, 4096) for block in blocks]
    shapes = published.numbered(published.identity(4096, tokens, hidden=16, width=embed), layers)
    return published.fill(shapes, seed, spread=0.1)


def encoder_file(
    width: int = 32, depth: int = 2, projection: int = 24, patch: int = 8, size: int = 32, seed: int = 7
) -> dict[str, torch.Tensor]:
    """A CLIP vision tower in the transformers layout."""
    return published.fill(published.encoder(width, depth, 2 * width, projection, patch, size), seed)


DESCRIPTION = {"vision_config": '{"heads": 4, "activation": "quick_gelu", "name": "tiny CLIP"}'}


CORE_ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_channels": 3,
    "image_size": 32,
    "patch_size": 8,
    "projection_dim": 24,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "model_type": "clip_vision_model",
}


def core_encoder(file: dict[str, torch.Tensor]) -> comfy.clip_vision.ClipVisionModel:
    """What core's CLIPVisionLoader returns; its detection refuses small files, its class does not."""
    clip_vision = comfy.clip_vision.ClipVisionModel(CORE_ENCODER)
    clip_vision.model.float()
    clip_vision.load_sd(file)
    return clip_vision


def encoder(**options: Any) -> ImageEncoder:
    module: VisionEncoder = load_encoder(
        encoder_file(**options), metadata=DESCRIPTION, ops=comfy.ops.disable_weight_init, dtype=torch.float32
    )
    return ImageEncoder(module, torch.device("cpu"))
