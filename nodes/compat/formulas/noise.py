"""Pictures of noise, made of a picture, for use as a negative. Letters: B pictures, H height, W width, C channels.

The numbers are those that torch's global generator draws after a seed that the picture decides; it draws afterwards as
if nothing had been drawn meanwhile.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.functional import gaussian_blur

from .pictures import SIDE, checked

SEEDS = 1_000_000_007  # how many there are
ALPHA = 75.0  # strength of the shifts in pixels


def noisy(image: Tensor | None, kind: str, strength: float, blur: int) -> Tensor:
    """The squares (B, 224, 224, C) of pictures (B, H, W, C), or one black RGB square, with noise of a kind in them.

    kind: one of `KINDS`
    blur: side in pixels of the square over which each pixel is blurred, made odd; 0 does not blur
    """
    squares = torch.zeros(1, SIDE, SIDE, 3) if image is None else _squares(image)
    with _seeded(int(squares.sum()) % SEEDS):
        made = KINDS[kind](squares, strength).clamp(0, 1)
    return _channels_last(gaussian_blur(_channels_first(made), [blur + 1 - blur % 2] * 2)) if blur else made


def v1_negative(image: Tensor, noise: float) -> Tensor:
    """The negatives (B, 224, 224, C) of pictures (B, H, W, C) in the first version: shuffled, and not clamped.

    noise: above 0, up to 1; the more, the larger are the parts that stay together, and the weaker is the noise on them
    """
    with _seeded(0):
        shuffled = _shuffled(_squares(image), 3.5 * noise)
        return shuffled + (0.25 * (1 - noise) + 0.05) * torch.randn_like(shuffled)


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """Let the CPU's generator draw from a seed, and then draw as before. Torchvision takes no other generator."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _squares(image: Tensor) -> Tensor:
    pictures = _channels_first(checked(image).detach().cpu().float())
    side = min(pictures.shape[2:])
    resize = v2.Resize((SIDE, SIDE), v2.InterpolationMode.BICUBIC, antialias=True)
    return _channels_last(resize(v2.CenterCrop(side)(pictures)))


def _shuffled(squares: Tensor, sigma: float) -> Tensor:
    """Squares whose pixels were shifted at random and which were then turned by half a turn.

    sigma: over how many pixels the shifts are alike
    """
    # The flips always happen, and draw a number each all the same.
    shifted = v2.ElasticTransform(ALPHA, sigma)(_channels_first(squares))
    return _channels_last(v2.RandomHorizontalFlip(1.0)(v2.RandomVerticalFlip(1.0)(shifted)))


def _fade(squares: Tensor, strength: float) -> Tensor:
    return squares * (1 - strength) + torch.rand_like(squares) * strength


def _dissolve(squares: Tensor, strength: float) -> Tensor:
    taken = torch.rand_like(squares) < strength
    return torch.rand_like(squares).where(taken, squares)


def _gaussian(squares: Tensor, strength: float) -> Tensor:
    return squares + torch.randn_like(squares) * strength


def _shuffle(squares: Tensor, strength: float) -> Tensor:
    shuffled = _shuffled(squares, 3.5 * (1 - strength))
    noise = torch.randn_like(shuffled) * (strength * 0.75)
    return shuffled * (1 - noise) + noise


def _channels_first(image: Tensor) -> Tensor:
    return image.permute(0, 3, 1, 2)


def _channels_last(image: Tensor) -> Tensor:
    return image.permute(0, 2, 3, 1)


KINDS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "fade": _fade,
    "dissolve": _dissolve,
    "gaussian": _gaussian,
    "shuffle": _shuffle,
}
