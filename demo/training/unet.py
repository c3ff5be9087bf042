"""The diffusion model: v-prediction (https://arxiv.org/abs/2202.00512) on SD1.5's noise schedule, with text.

A tenth of the captions is empty, for classifier-free guidance (https://arxiv.org/abs/2207.12598).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from comfy import model_sampling
from torch import Tensor, nn
from torch.nn import functional as F

from demo.nodes.weights import read
from demo.nodes.words import Words
from demo.nodes.world import TextTower, autoencoder, padded, unet
from demo.world import World, caption

from .data import WORLD, Pictures, digest, draws, pictures
from .loop import Losses, Recipe
from .setting import Setting, initialise

BATCH = 32
EMPTY = 0.1


class Sampling(model_sampling.ModelSamplingDiscrete, model_sampling.V_PREDICTION):
    """What ComfyUI samples with."""


class Diffusion:
    """Noise, latents and captions of the training pictures, on the device."""

    def __init__(self, setting: Setting):
        self.setting = setting
        self.data = pictures(setting.folder, setting.pictures)
        self.latents = encoded(self.data, setting)
        self.sampling = Sampling()
        self.text, self.words = text_tower(setting.finished("text_encoders"))
        self.text.to(setting.device)

    def noised(self, latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Add noise: (noisy latents as the UNet takes them, timesteps, the answer that it should give)."""
        steps = torch.randint(len(self.sampling.sigmas), (len(latents),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        sigma = self.sampling.sigmas[steps].view(-1, 1, 1, 1)
        scale = (1 + sigma**2).rsqrt()
        noisy, answer = (latents + sigma * noise) * scale, (noise - sigma * latents) * scale
        return tuple(t.to(self.setting.device) for t in (noisy, steps.float(), answer))  # type: ignore[return-value]

    def context(self, captions: list[str]) -> Tensor:
        """The text states of captions, (B, 24, 768)."""
        with torch.no_grad():
            tokens = self.words.batch(captions).to(self.setting.device)
            return padded(self.text(tokens)[0])

    def captions(self, numbers: list[int], generator: torch.Generator, empty: float) -> list[str]:
        world = World(generator)
        drop = (torch.rand(len(numbers), generator=generator) < empty).tolist()
        rows = zip((self.data.scenes[number] for number in numbers), drop, strict=True)
        return ["" if dropped else caption(scene, world.mentions(scene)) for scene, dropped in rows]


def recipe(setting: Setting) -> tuple[Recipe, nn.Module]:
    world = Diffusion(setting)
    module = initialise(unet(), setting.seed)
    for name, parameter in module.named_parameters():
        # Blocks that start as the identity, and columns that the padding of the text never reaches.
        if ".out_layers.3." in name or ".proj_out." in name or name.startswith("out.2."):
            parameter.data.zero_()
        elif name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            parameter.data[:, world.text.width :] = 0

    def loss(module: nn.Module, step: int) -> Losses:
        numbers, generator = draws(setting.seed, step, setting.batch(BATCH), len(world.latents))
        context = world.context(world.captions(numbers, generator, EMPTY))
        noisy, steps, answer = world.noised(world.latents[numbers], generator)
        return {"loss": F.mse_loss(module(noisy, steps, context=context), answer)}

    return Recipe("unet", setting.steps or 4300, BATCH, 6e-4, loss, warm_up=200), module.to(setting.device)


def export(module: nn.Module) -> dict[str, tuple[str, dict[str, Tensor], dict[str, str]]]:
    what = "UNet of the demo world: SD1.5's topology, 32 channels, v-prediction"
    return {"diffusion_models/demo_world.safetensors": (what, dict(module.state_dict()), {"prediction": "v"})}


def text_tower(file: Path) -> tuple[TextTower, Words]:
    weights, said = read(file)
    words = Words(json.loads(said["words"]))
    tower = TextTower.from_weights(weights, len(words))
    return tower.eval().requires_grad_(False), words


@torch.inference_mode()
def encoded(data: Pictures, setting: Setting, chunk: int = 250) -> Tensor:
    """(N, 4, 16, 16) latents of all training pictures, kept in the work folder."""
    weights = setting.finished("vae")
    file = setting.folder / f"latents-{len(data.scenes)}-{digest([weights, WORLD])}.pt"
    if not file.is_file():
        module = autoencoder().eval().to(setting.device)
        module.load_state_dict(read(weights)[0])
        parts = data.pixels.split(chunk)
        latents = torch.cat([module.encode(part.to(setting.device).float() / 127.5 - 1).cpu() for part in parts])
        part = file.with_suffix(f".{os.getpid()}")
        torch.save(latents, part)
        part.replace(file)
    return torch.load(file, weights_only=True).clone()
