"""A small autoencoder in the TAESD layout: random, but what it decodes is the latent picture, smoothly enlarged."""

import comfy.sd
import torch
from comfy.taesd.taesd import TAESD

from .weights import StateDict, random_state_dict

UPSAMPLING = (7, 12, 17)  # the convolutions after each enlargement
LAST = 19


def autoencoder(seed: int, channels: int = 4) -> comfy.sd.VAE:
    weights = random_state_dict(TAESD(latent_channels=channels), seed, gain=0.3)
    return comfy.sd.VAE(sd=weights | see_through(seed, channels))


def see_through(seed: int, channels: int) -> StateDict:
    """Decoder weights that carry +x and -x of each latent channel, past the ReLUs, to a mixture of colours."""
    signed = torch.stack([torch.eye(channels), -torch.eye(channels)]).reshape(-1, channels)
    colours = torch.randn(3, channels, generator=torch.Generator().manual_seed(seed)) * 0.1
    first, last = torch.zeros(64, channels, 3, 3), torch.zeros(3, 64, 3, 3)
    first[: 2 * channels, :, 1, 1] = signed
    last[:, : 2 * channels] = (colours @ signed.T)[..., None, None] / 9
    blur = torch.eye(64)[..., None, None].expand(-1, -1, 3, 3) / 9
    weights = {"1.weight": first, f"{LAST}.weight": last, f"{LAST}.bias": torch.full((3,), 0.5)}
    weights |= {f"{layer}.weight": blur.contiguous() for layer in UPSAMPLING}
    return {f"taesd_decoder.{key}": tensor for key, tensor in weights.items()}
