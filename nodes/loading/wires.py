"""What an IPADAPTER wire carries, of this pack or of another one: the adapter, and what comes with it.

cubiq/ComfyUI_IPAdapter_plus, and packs that build on it, send dicts of two kinds:
raw: {"image_proj": {key: tensor}, "ip_adapter": {key: tensor}}, and flags beside them
pipe: {"ipadapter": {"file": ..., "model": raw}, "clipvision": {...}, "insightface": {...}}
They belong to whoever made them, so nothing is written into them.
"""

import os
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ...ip_adapter import alike, identify
from .. import input_checks
from .adapter import ImagePromptAdapter

PARTS = ("image_proj", "ip_adapter")
MIDDLE = "middle_block"
OURS = "image_prompt_adapter"  # our adapter in a raw dict that this pack has made; ComfyUI finds its model there too
ADVICE = "connect the output of Load IP-Adapter"
IPADAPTER_ADVICE = "connect the output of IPAdapter Unified Loader or IPAdapter Model Loader"  # where ours does not fit
FLAGS = {  # beside the tensors -> the id of the family that it stands for
    "faceidplusv2": "faceid-plus-v2",
    "portraitunnorm": "faceid-portrait-unnorm",
}
UNFLAGGED = "faceid-plus"
UNNAMED = "ipadapter of another pack"  # as the name of a file, which is not known

Leaves = dict[tuple[str, str], Tensor]  # by part and key

# by the first tensor of a raw dict: all of its tensors, and the adapter that was made of them
_known: Any = WeakTensorKeyDictionary()


def as_adapter(value: Any, name: str = "adapter", advice: str = ADVICE) -> ImagePromptAdapter:
    """The adapter that an IMAGE_PROMPT_ADAPTER or IPADAPTER wire carries, made once for the same tensors.

    name: what to call the input in messages
    advice: what to do if it carries none, as words that follow a colon

    Raises:
        ValueError: it carries none, or one that this pack does not apply. The message says what it is.
    """
    if isinstance(value, ImagePromptAdapter):
        return value
    if is_pipe(value):
        return _of_pipe(value, name, advice)
    return _of_raw(value, name, UNNAMED, advice)


def encoder_of(value: Any) -> Any:
    """The image encoder that comes with an adapter; None if there is none."""
    return _part(value, "clipvision", "model")


def insightface_of(value: Any) -> Any:
    """The face recognition that comes with an adapter; None if there is none."""
    return _part(value, "insightface", "model")


def file_of(value: Any, part: str) -> str:
    """The file from which a part of a pipe was loaded, by its name or path; "" if it is not said."""
    file = _part(value, part, "file")
    return file if isinstance(file, str) else ""


def is_pipe(value: Any) -> bool:
    """Whether a wire carries a pipe."""
    return isinstance(value, Mapping) and "ipadapter" in value


def acts_in_middle(value: Any) -> bool:
    """Whether the adapter is to act in the middle block too, where nodes of IPAdapter_plus leave that out."""
    if not isinstance(value, Mapping):
        return False
    return bool(value[MIDDLE] if MIDDLE in value else acts_in_middle(_part(value, "ipadapter", "model")))


def with_middle(value: Any, on: bool = True) -> dict[str, Any]:
    """A copy of what a wire carries, of the same kind, that says whether to act in the middle block."""
    if isinstance(value, ImagePromptAdapter):
        return {"ipadapter": {"file": value.name, "model": value}, MIDDLE: on}
    return {**checked_parts(value), MIDDLE: on}


def checked_parts(value: Any) -> Mapping[str, Any]:
    """Check that a wire carries a pipe or a raw dict with something in it, without looking at what that is.

    Raises:
        ValueError: it does not.
    """
    input_checks.expect(value, Mapping, "ipadapter", IPADAPTER_ADVICE)
    parts = (_part(value, part, "model") for part in ("ipadapter", "clipvision", "insightface"))
    if all(part is None for part in parts) and OURS not in value and not _tensors(value):
        raise ValueError(f"The ipadapter is {input_checks.described(value)}: {IPADAPTER_ADVICE}.")
    return value


def remember(raw: Mapping[str, Any], adapter: ImagePromptAdapter) -> None:
    """Find this adapter again wherever these tensors turn up, for as long as they live."""
    tensors = _tensors(raw)
    if tensors:
        _known[next(iter(tensors.values()))] = {key: weakref.ref(each) for key, each in tensors.items()}, adapter


def _of_pipe(pipe: Mapping[str, Any], name: str, advice: str) -> ImagePromptAdapter:
    model, file = _part(pipe, "ipadapter", "model"), file_of(pipe, "ipadapter")
    if isinstance(model, ImagePromptAdapter):
        return model
    raw = pipe if model is None and _tensors(pipe) else model  # older loaders write the keys of a pipe into a raw dict
    return _of_raw(raw, name, os.path.basename(file.replace("\\", "/")) or UNNAMED, advice)


def _of_raw(raw: Any, name: str, title: str, advice: str) -> ImagePromptAdapter:
    """The adapter of a raw dict. title: its name in later messages"""
    if isinstance(raw, Mapping) and isinstance(ours := raw.get(OURS), ImagePromptAdapter):
        return _as_flagged(ours, raw)
    tensors = _tensors(raw)
    if not tensors:
        raise ValueError(f"The {name} is {input_checks.described(raw)}: {advice}.")
    known, adapter = _known.get(next(iter(tensors.values()))) or ({}, None)
    if adapter and known.keys() == tensors.keys() and all(known[key]() is each for key, each in tensors.items()):
        return _as_flagged(adapter, raw)
    nested = {part: {key: each.detach() for (of, key), each in tensors.items() if of == part} for part in PARTS}
    try:
        adapter = ImagePromptAdapter.from_tensors(nested, title, _unflagged(nested))
    except ValueError as error:
        raise ValueError(f"The {name} cannot be applied. {error}") from error
    remember(raw, adapter)
    return _as_flagged(adapter, raw)


def family_of(flags: Mapping[str, Any]) -> str:
    """The id of the family that flags stand for, among those whose files have the same shapes."""
    return next((family for flag, family in FLAGS.items() if flags.get(flag)), UNFLAGGED)


def _as_flagged(adapter: ImagePromptAdapter, flags: Mapping[str, Any]) -> ImagePromptAdapter:
    """The adapter as of the family that flags stand for, if there are any and its file has the shapes of that one."""
    return adapter.as_family(family_of(flags)) if any(flags.get(flag) for flag in FLAGS) else adapter


def _unflagged(nested: Mapping[str, Any]) -> str:
    """What a raw dict without flags says of its family; "" if that does not fit its shapes."""
    return UNFLAGGED if UNFLAGGED in {each.id for each in alike(identify(nested))} else ""


def _tensors(raw: Any) -> Leaves:
    """The tensors of a raw dict, without the flags beside them."""
    return dict(_leaves(raw)) if isinstance(raw, Mapping) else {}


def _leaves(raw: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Tensor]]:
    for part in PARTS:
        inner = raw.get(part)
        for key, value in inner.items() if isinstance(inner, Mapping) else ():
            if isinstance(value, Tensor):
                yield (part, str(key)), value


def _part(value: Any, part: str, key: str) -> Any:
    inner = value.get(part) if isinstance(value, Mapping) else None
    return inner.get(key) if isinstance(inner, Mapping) else None
