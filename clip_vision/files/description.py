"""What an encoder file says about itself and its text model: JSON in the metadata of small or unlisted encoders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from ..config import Rgb
from ..network.layers import ACTIVATIONS

DESCRIPTION, TEXT_DESCRIPTION = "vision_config", "text_config"  # keys of the file's metadata
LARGEST = 1 << 16  # heads of an encoder, pixels along a side, or numbers of a mean


def described(metadata: Mapping[str, str] | None, of: str = DESCRIPTION) -> dict[str, Any]:
    """The checked contents of metadata["vision_config"], or of another description; empty when there is none."""
    text = (metadata or {}).get(of)
    if text is None:
        return {}
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The file's metadata {of} is no JSON: {error}.") from None
    if not isinstance(described, dict):
        raise ValueError(f"The file's metadata {of} is no JSON object: {text[:80]!r}.")
    return {str(key): _checked(of, str(key), value) for key, value in cast("dict[Any, Any]", described).items()}


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value


def _positive(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
        raise ValueError(f"a positive whole number up to {LARGEST:,}")
    return value


def _activation(value: Any) -> str:
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise ValueError(f"one of {', '.join(ACTIVATIONS)}")
    return value


def _rgb(value: Any) -> Rgb:
    parts = cast("list[Any]", value) if isinstance(value, list) else []
    numbers = [float(part) for part in parts if type(part) in (int, float) and -LARGEST <= part <= LARGEST]
    if len(parts) != 3 or len(numbers) != 3:
        raise ValueError("a list of three numbers")
    return numbers[0], numbers[1], numbers[2]


def _std(value: Any) -> Rgb:
    std = _rgb(value)
    if min(std) <= 0:
        raise ValueError("a list of three numbers above 0: pictures are divided by them")
    return std


DESCRIBED: dict[str, dict[str, Callable[[Any], Any]]] = {
    DESCRIPTION: {
        "name": _name,
        "heads": _positive,
        "image_size": _positive,
        "activation": _activation,
        "mean": _rgb,
        "std": _std,
    },
    TEXT_DESCRIPTION: {"heads": _positive, "activation": _activation},
}


def _checked(of: str, key: str, value: Any) -> Any:
    if key not in DESCRIBED[of]:
        raise ValueError(f"The file's metadata {of} has {key!r:.80}; it may have {', '.join(DESCRIBED[of])}.")
    try:
        return DESCRIBED[of][key](value)
    except ValueError as error:
        raise ValueError(f"The file's metadata {of} has {key} = {value!r:.80}; it has to be {error}.") from None
