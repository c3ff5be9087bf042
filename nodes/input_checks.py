"""Check inputs before a node uses them, because links and wildcard sockets let any value through.

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

from ..clip_vision.pictures.images import CHANNELS
from ..ip_adapter import APPLIED_TO
from ..tensor_files import printable
from .encoding.features import FIELDS

WORDS = 40  # characters that a message quotes of a text

IMAGE_ADVICE = "connect an IMAGE output, which is (pictures, height, width, channels) with 1 to 4 channels"
OVERSHOOT = 0.01  # how far outside 0..1 the values of a mask may be, as resizing and compositing make them


def described(value: Any) -> str:
    """A description of a value in a few words, for use in a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"the text {value[:WORDS] + ('...' if len(value) > WORDS else '')!r}"
    if isinstance(value, bool | Real):
        return f"{value}" if math.isfinite(as_float(value)) else f"{as_float(value)}"  # not hundreds of digits
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with {', '.join(printable(str(key), WORDS) for key in list(value)[:3]) or 'nothing in it'}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"an object of the type {type(value).__name__}"


def expect(value: Any, kind: type, name: str, advice: str) -> Any:
    """Check that a value is of this type. `advice`: what to do, as words that follow a colon."""
    if not isinstance(value, kind):
        raise ValueError(f"The {name} is {described(value)}: {advice}.")
    return value


def as_float(value: Any) -> float:
    """A value as a float: infinite if it is too large for one, NaN if it is no number."""
    try:
        return float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return math.inf


def number(value: Any, low: float, high: float, name: str) -> float:
    """Check that a value is a number from low to high. ComfyUI itself checks only numbers that are typed in."""
    if not low <= as_float(value) <= high:
        raise ValueError(f"The {name} is {described(value)}: it must be a number between {low:g} and {high:g}.")
    return float(value)


def whole(value: Any, low: int, high: int, name: str) -> int:
    """Check that a value is a whole number from low to high; it may be of a type that has fractions."""
    if not number(value, low, high, name).is_integer():
        raise ValueError(f"The {name} is {described(value)}: it must be a whole number.")
    return int(value)


def switch(value: Any, name: str) -> bool:
    """Check that a value is true or false."""
    return expect(value, bool, name, "give true or false")


def numbers(value: Any, name: str) -> list[float]:
    """Check that a value is a text of numbers separated by commas, and read them; an empty text has none."""
    wrong = f"The input {name} is {described(value)}: write numbers separated by commas, such as 2, 1, 1."
    if not isinstance(value, str):
        raise ValueError(wrong)
    try:
        return [float(part) for part in value.split(",")] if value.strip() else []
    except ValueError:
        raise ValueError(wrong) from None


def part_of_sampling(start: Any, end: Any) -> tuple[float, float]:
    """Check that two values are a part of sampling, from start to end."""
    start, end = number(start, 0.0, 1.0, "start"), number(end, 0.0, 1.0, "end")
    if start > end:
        raise ValueError(f"start {start} lies after end {end}: start must not be greater than end.")
    return start, end


def is_range(start: Any, end: Any) -> bool | str:
    """The answer of `validate_inputs` for a part of sampling. None stands for a value that is not known yet."""
    try:
        part_of_sampling(0.0 if start is None else start, 1.0 if end is None else end)
    except ValueError as error:
        return str(error)
    return True


def choice(value: Any, choices: Sequence[str], name: str) -> str:
    """Check that a value is one of the choices of a combo box."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"The input {name} is {described(value)}: choose one of {', '.join(choices)}.")
    return value


def typed(value: Any, chosen: str, kind: str, chooser: str, name: str) -> bool:
    """Check that a text is given if, and only if, the choice is the kind that reads it; and return whether it is.

    chooser, name: the inputs with the choice and the text
    """
    text = expect(value, str, f"input {name}", "type a text, or connect a STRING")
    if chosen == kind and not text.strip():
        raise ValueError(f"The input {chooser} is {kind!r}, and {name} is empty: give {name}, or choose another.")
    if chosen != kind and text.strip():
        raise ValueError(
            f"The input {name} is {described(value)}, and {chooser} is {chosen!r}, which does not read it: choose "
            f"{kind!r}, or empty {name}."
        )
    return chosen == kind


def diffusion_model(value: Any, name: str = "model") -> ModelPatcher:
    """Check that a value is what a MODEL socket carries."""
    advice = f"connect a {', '.join(APPLIED_TO[:-1])} or {APPLIED_TO[-1]} model"
    expect(value, ModelPatcher, name, advice)
    expect(value.model, BaseModel, name, advice)
    return value


def image_features(value: Any, name: str = "features") -> Output:
    """Check that a value is a CLIP_VISION_OUTPUT, core's or another pack's with the same fields."""
    if not isinstance(value, Output) and not any(
        isinstance(getattr(value, field, None), torch.Tensor) for field in FIELDS.values()
    ):
        raise ValueError(f"The input {name} is {described(value)}: connect the features of Encode Image Prompt.")
    return value


def conditioning(value: Any, name: str) -> list[Any]:
    """Check that a value is what a CONDITIONING socket carries."""
    pairs = value if isinstance(value, list) else [None]
    if not all(isinstance(each, list | tuple) and len(each) == 2 and isinstance(each[1], dict) for each in pairs):
        raise ValueError(f"The {name} is {described(value)}: connect a CONDITIONING, such as that of CLIP Text Encode.")
    return value


def latent(value: Any, name: str = "latent") -> torch.Tensor:
    """Check that a value is a LATENT of pictures, and return its samples (pictures, channels, height, width).

    Some models for pictures have a dimension of frames, of which there is one, before the height.
    """
    samples = value.get("samples") if isinstance(value, dict) else None
    if not isinstance(samples, torch.Tensor) or samples.ndim not in (4, 5) or samples.shape[2:-2].numel() != 1:
        given = described(value if samples is None else samples)
        raise ValueError(f"The {name} is {given}: connect the LATENT output of a sampler for pictures.")
    return samples


def is_finite(value: torch.Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity, found without the large temporary tensors of `isfinite`."""
    return not value.numel() or all(math.isfinite(end) for end in value.aminmax())


def image(value: Any, name: str = "image") -> torch.Tensor:
    """Check that a value is an IMAGE: (N, H, W, C), grey or colour, with or without alpha, and any numbers in it."""
    expect(value, torch.Tensor, name, IMAGE_ADVICE)
    if value.ndim != 4 or value.shape[-1] not in CHANNELS:
        raise ValueError(f"The {name} is {described(value)}: {IMAGE_ADVICE}.")
    return value


def mask(value: Any, name: str = "mask") -> torch.Tensor:
    """Check that a value is a MASK (N, H, W), and return it in 0..1 and fp32."""
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
