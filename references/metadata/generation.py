"""What made a picture, in one form for all programs that say it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ...model_files.pictures import picture_format, read_text
from . import a1111, comfyui, exif

KEPT = 256 << 10  # bytes of the texts of a picture that are kept as they are
PROGRAM_TEXTS = ("prompt", "parameters", "workflow")  # in the order in which they are kept while there is room
UNREADABLE = (ValueError, OSError, RecursionError, LookupError, TypeError, ArithmeticError)  # what strange files do
T = TypeVar("T")


def generation(path: str | Path) -> dict[str, Any]:
    """What made a picture; empty where it does not say so, whatever it is. Only what is known is there:

    program: "ComfyUI" or "A1111"
    model: the name of the checkpoint or diffusion model
    loras: [{name, weight}], from the model to the sampler; the weight of the diffusion model, None if not known
    sampler, scheduler, steps, cfg, guidance, seed, denoise: of the first sampler that led to the picture
    size: [width, height] at which it was begun
    prompt, negative: texts
    image_prompts: [{node, adapter, weight, layers, start, end}], what is known of each
    raw: {keyword: text}, what the program wrote, at most 256 KB in all
    left_out: the keywords of texts that were longer than that
    """
    texts = _texts(path)
    found = _described(comfyui.described, texts.get("prompt")), _described(a1111.described, texts.get("parameters"))
    known = {name: value for each in reversed(found) for name, value in each.items()}
    raw, room = dict[str, str](), KEPT
    for name, text in texts.items():
        size = len(text.encode("utf-8", "replace"))
        if size <= room:
            raw[name], room = text, room - size
    left_out = [name for name in texts if name not in raw]
    return known | ({"raw": raw} if raw else {}) | ({"left_out": left_out} if left_out else {})


def _texts(path: str | Path) -> dict[str, str]:
    """The texts of a picture by keyword; what is damaged is not there."""
    kind = _tried(picture_format, path)
    if kind == "PNG":
        found = {name: _tried(lambda path, name=name: read_text(path, name), path) for name in PROGRAM_TEXTS}
    elif kind in ("JPEG", "WebP"):
        found = (_tried(exif.named_texts, path) or {}) | {"parameters": _tried(exif.user_comment, path)}
    else:
        return {}
    return {name: text.replace("\0", "") for name in PROGRAM_TEXTS if (text := found.get(name))}


def _tried(read: Callable[[str | Path], T], path: str | Path) -> T | None:
    try:
        return read(path)
    except UNREADABLE:
        return None


def _described(describe: Callable[[str], dict[str, Any]], text: str | None) -> dict[str, Any]:
    try:
        return describe(text) if text else {}
    except UNREADABLE:
        return {}
