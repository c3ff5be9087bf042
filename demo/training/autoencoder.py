"""Pictures <-> latents: an L1 loss, with noise on the latents so that the decoder forgives what a sampler leaves."""

from __future__ import annotations

import torch
from torch import nn

from demo.nodes.world import autoencoder

from .data import draws, pictures
from .loop import Losses, Recipe
from .setting import Setting, initialise

BATCH = 24
NOISE = 0.1


def recipe(setting: Setting) -> tuple[Recipe, nn.Module]:
    data = pictures(setting.folder, setting.pictures)
    module = initialise(autoencoder(), setting.seed)
    for name, gate in module.named_parameters():
        if name.endswith("gammas"):  # shift and scale before both halves of a block, and their gates
            gate.data.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 1.0]))

    def loss(module: nn.Module, step: int) -> Losses:
        numbers, generator = draws(setting.seed, step, setting.batch(BATCH), len(data.scenes))
        pixels = data.batch(numbers).to(setting.device) * 2 - 1  # as core's VAE gives them
        latents = module.encode(pixels)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        error = module.decode(latents + NOISE * noise) - pixels
        return {"loss": error.abs().mean() + 0.5 * gradients(error), "L2": error.square().mean()}

    return Recipe("autoencoder", setting.steps or 2500, BATCH, 2e-3, loss, average=0.995), module.to(setting.device)


def gradients(error: torch.Tensor) -> torch.Tensor:
    """The differences between neighbouring errors, as a loss: it makes errors at edges count more."""
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


@torch.no_grad()
def export(module: nn.Module) -> dict[str, tuple[str, dict[str, torch.Tensor], dict[str, str]]]:
    """The file to save. Scale and shift of the latents move into the decoder: latents have mean 0, deviation 1."""
    normalisation, first = module.down_blocks[-1][1], module.up_blocks[0][0]
    first.bias += first.weight[:, :, 0, 0] @ normalisation.bias
    first.weight *= normalisation.weight.view(1, -1, 1, 1)
    normalisation.weight.fill_(1)
    normalisation.bias.zero_()
    what = "Autoencoder of the demo world, 64x64 pixels to 4x16x16: Stable Cascade's stage A, narrow"
    return {"vae/demo_world.safetensors": (what, dict(module.state_dict()), {})}
