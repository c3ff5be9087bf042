"""What a socket brought, checked before a node uses it: links and wildcard sockets let any value through.

Every check returns the value, or raises a ValueError that says what the input is and what to do:
"The adapter is a dict with image_proj, ip_adapter: connect the output of Load IP-Adapter."
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from comfy.clip_vision import Output
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher

from ..clip_vision.images import CHANNELS
from ..ip_adapter import APPLIED_TO
from .features import FIELDS

WORDS = 40  # of a text that is quoted

IMAGE_ADVICE = "connect an IMAGE output, which is (pictures, height, width, channels) with 1 to 4 channels"
OVERSHOOT = 0.01  # how far outside 0..1 a mask may lie, as resizing and compositing leave it


def described(value: Any) -> str:
    """A value in a few words, to stand in a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"the text {value[:WORDS] + ('...' if len(value) > WORDS else '')!r}"
    if isinstance(value, bool | Real):
        return f"{value}"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with {', '.join(str(key)[:WORDS] for key in list(value)[:3]) or 'nothing in it'}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"an object of the type {type(value).__name__}"


def expect(value: Any, kind: type, name: str, advice: str) -> Any:
    """A value of this type. `advice`: what to do, in words that follow a colon."""
    if not isinstance(value, kind):
        raise ValueError(f"The {name} is {described(value)}: {advice}.")
    return value


def number(value: Any, low: float, high: float, name: str) -> float:
    """A number from low to high, which ComfyUI itself checks only where it is typed in."""
    if not isinstance(value, Real) or not low <= float(value) <= high:
        raise ValueError(f"The {name} is {described(value)}: it must be a number between {low:g} and {high:g}.")
    return float(value)


def choice(value: Any, choices: Sequence[str], name: str) -> str:
    """One of the words that a combo box offers."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"The input {name} is {described(value)}: choose one of {', '.join(choices)}.")
    return value


def diffusion_model(value: Any, name: str = "model") -> ModelPatcher:
    """What a MODEL socket carries."""
    advice = f"connect a {', '.join(APPLIED_TO[:-1])} or {APPLIED_TO[-1]} model"
    expect(value, ModelPatcher, name, advice)
    expect(value.model, BaseModel, name, advice)
    return value


def image_features(value: Any, name: str = "features") -> Output:
    """What a CLIP_VISION_OUTPUT socket carries, core's or another pack's with the same fields."""
    if not isinstance(value, Output) and not any(
        isinstance(getattr(value, field, None), torch.Tensor) for field in FIELDS.values()
    ):
        raise ValueError(f"The input {name} is {described(value)}: connect the features of Encode Image Prompt.")
    return value


def is_finite(value: torch.Tensor) -> bool:
    """Whether it holds neither NaN nor infinity; without the temporaries of `isfinite`, which are larger than it."""
    return all(math.isfinite(end) for end in value.aminmax())


def image(value: Any, name: str = "image") -> torch.Tensor:
    """An IMAGE: (N, H, W, C), grey or in colours, with or without alpha. Its values are checked where it is read."""
    expect(value, torch.Tensor, name, IMAGE_ADVICE)
    if value.ndim != 4 or value.shape[-1] not in CHANNELS:
        raise ValueError(f"The {name} is {described(value)}: {IMAGE_ADVICE}.")
    return value


def mask(value: Any, name: str = "mask") -> torch.Tensor:
    """A MASK: (N, H, W) in 0..1, fp32."""
    advice = "connect a MASK output, which is (masks, height, width)"
    expect(value, torch.Tensor, name, advice)
    if value.ndim != 3 or not value.numel() or value.is_complex():
        raise ValueError(f"The {name} is {described(value)}: {advice}.")
    low, high = (float(end) for end in value.float().aminmax())
    if not is_finite(value):
        raise ValueError(f"The {name} holds NaN or infinite numbers: check the node that makes it, or leave it out.")
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise ValueError(
            f"The {name} holds values from {low:g} to {high:g}, expected are 0 (black) to 1 (white): connect a MASK "
            "output, and check the node that makes it (a mask of 0 to 255 has to be divided by 255)."
        )
    return value.float().clamp(0.0, 1.0)
