"""Make pictures of the demo world with the pack's nodes and ComfyUI's sampler, many at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import comfy.sample
import node_helpers
import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch import Tensor

from image_prompt.demo.nodes import checkpoint
from image_prompt.demo.world import SIZE, Scene, World, draw
from image_prompt.nodes.applying.apply import BATCHES, ApplyImagePrompt
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.reference import MakeReference, Reference
from image_prompt.nodes.controls.step_weights import ImagePromptStepWeights
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt
from image_prompt.nodes.encoding.encoder import ImageEncoder
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

ASKED = os.environ.get("IMAGE_PROMPT_REFERENCES")  # demo/README.md has the numbers of 64, with more steps
COUNT = int(ASKED or 32)
STEPS, CFG, SAMPLER, SCHEDULER = 10 if ASKED else 6, 3.0, "dpmpp_2m", "sgm_uniform"
FILES = {"base": "ip-adapter_demo_world.safetensors", "plus": "ip-adapter-plus_demo_world.safetensors"}
ONE_EACH = tuple(BATCHES)[1]  # picture n of the batch has reference n


def held_out(seed: int, count: int = COUNT) -> list[Scene]:
    """Scenes whose combinations no model was trained on."""
    world = World(seed, held_out=True)
    return [world.scene() for _ in range(count)]


def pictures(scenes: Sequence[Scene]) -> Tensor:
    """The pictures of scenes as nodes pass them, (B, 64, 64, 3)."""
    return draw([(scene,) for scene in scenes]).movedim(1, -1)


@cache
def checkpoints() -> tuple[Any, Any, Any]:
    model, clip, vae = checkpoint.load()
    model.model_options["transformer_options"]["optimized_attention_override"] = attention_of_torch
    return model, clip, vae


def attention_of_torch(_: Any, *given: Any, **options: Any) -> Tensor:
    """What ComfyUI takes on a GPU, also on a CPU, where it is faster than ComfyUI's own choice."""
    return attention_pytorch(*given, **options)


@cache
def encoder() -> ImageEncoder:
    return ImageEncoder.from_file(str(checkpoint.MODELS / "clip_vision" / checkpoint.NAME))


@cache
def adapter(name: str) -> ImagePromptAdapter:
    return ImagePromptAdapter.from_file(str(checkpoint.MODELS / "ipadapter" / FILES[name]))


def encode(images: Tensor) -> Any:
    return EncodeImagePrompt.execute(encoder(), images, "center", "black").args[0]


def apply(
    name: str,
    references: Sequence[Scene] | Tensor,
    *,
    weight: float = 1.0,
    start: float = 0.0,
    end: float = 1.0,
    model: Any = None,
    negative: Sequence[Scene] | None = None,
    **options: Any,
) -> Any:
    """The model with one reference, a scene or an image, for each picture of the batch."""
    images = references if isinstance(references, Tensor) else pictures(references)
    if negative is not None:
        options["negative"] = encode(pictures(negative))
    return ApplyImagePrompt.execute(
        model or checkpoints()[0],
        adapter(name),
        encode(images),
        weight,
        start,
        end,
        batch=ONE_EACH,
        **options,
    ).args[0]


def generate(
    model: Any,
    prompts: str | Sequence[str] = "a shape",
    *,
    count: int = COUNT,
    seed: int = 11,
    cfg: float = CFG,
    steps: int = STEPS,
    positive: list[Any] | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Sample pictures, (count, 3, 64, 64) in 0..1, with one prompt for all or one for each, or with a conditioning.

    noise: that of these pictures, (count, 4, ...); None: that of the seed
    """
    _, clip, vae = checkpoints()
    side = SIZE // vae.downscale_ratio
    latent = torch.zeros(count, 4, side, side)
    noise = comfy.sample.prepare_noise(latent, seed) if noise is None else noise
    with torch.inference_mode():
        latents = comfy.sample.sample(
            model,
            noise,
            steps,
            cfg,
            SAMPLER,
            SCHEDULER,
            positive or text(clip, prompts),
            text(clip, ""),
            latent,
            disable_pbar=True,
            seed=seed,
        )
        return vae.decode(latents).movedim(-1, 1).clamp(0, 1)


def text(clip: Any, prompts: str | Sequence[str]) -> list[Any]:
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    states = [clip.encode_from_tokens_scheduled(clip.tokenize(prompt))[0][0] for prompt in prompts]
    return [[torch.cat(states), {}]]


def half_mask(side: str) -> Tensor:
    """A mask of one half of the picture, (1, 64, 64)."""
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., : SIZE // 2] = 1
    return mask if side == "left" else 1 - mask


def between(name: str, first: Sequence[Scene], second: Sequence[Scene], interpolation: float) -> Any:
    """The model with a reference between two for each picture of the batch."""
    one, two = (encode(pictures(scenes)) for scenes in (first, second))
    joined = CombineImagePrompts.execute(
        "interpolate", features_1=one, features_2=two, interpolation=interpolation
    ).args[0]
    return ApplyImagePrompt.execute(checkpoints()[0], adapter(name), joined, batch=ONE_EACH).args[0]


def reference(scenes: Sequence[Scene], keyframes: str = "", **options: Any) -> Reference:
    """A scene for each picture of the batch as a reference, by keyframes over the steps if there are any."""
    if keyframes:
        options["step_weights"] = ImagePromptStepWeights.execute("keyframes", keyframes=keyframes).args[0]
    return MakeReference.execute(encode(pictures(scenes)), combining="one per image", **options).args[0]


def apply_references(name: str, *references: Reference) -> Any:
    given = {f"reference_{number}": each for number, each in enumerate(references)}
    return ApplyReferences.execute(checkpoints()[0], adapter(name), given).args[0]


def in_areas(name: str, left: Reference, right: Reference, prompt: str = "a shape") -> tuple[Any, list[Any]]:
    """A model, and a conditioning of two areas, halves of the picture, with a reference in each."""
    model, areas = checkpoints()[0], []
    for x, each in ((0.0, left), (0.5, right)):
        area = {"area": ("percentage", 1.0, 0.5, 0.0, x), "strength": 1.0, "set_area_to_bounds": False}
        half = node_helpers.conditioning_set_values(text(checkpoints()[1], prompt), area)
        model, half, _ = ReferencesToConditioning.execute(model, adapter(name), half, {"reference_0": each}).args
        areas += half
    return model, areas
